//! A TCP proxy that a test can cut, as networks do: at any byte, without a word.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A proxy in front of one address.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    line: watch::Sender<Line>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Line {
    /// How often everything was cut.
    cuts: u64,
    is_down: bool,
    /// Where new connections go instead.
    target: Option<SocketAddr>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (line, watcher) = watch::channel(Line::default());
        Self { address, line, task: tokio::spawn(accept(listener, target, watcher)) }
    }

    /// Cuts every connection; new ones come through.
    pub(crate) fn cut(&self) {
        self.line.send_modify(|line| line.cuts += 1);
    }

    /// Cuts every connection, and new ones too.
    pub(crate) fn go_down(&self) {
        self.line.send_modify(|line| {
            line.cuts += 1;
            line.is_down = true;
        });
    }

    /// New connections go there.
    pub(crate) fn redirect(&self, target: SocketAddr) {
        self.line.send_modify(|line| line.target = Some(target));
    }

    pub(crate) fn come_up(&self) {
        self.line.send_modify(|line| line.is_down = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, line: watch::Receiver<Line>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        let Line { cuts, is_down, target: instead } = *line.borrow();
        if !is_down {
            connections.spawn(pass(near, instead.unwrap_or(target), line.clone(), cuts));
        }
    }
}

/// Passes bytes on until either side ends or the line is cut.
async fn pass(mut near: TcpStream, target: SocketAddr, mut line: watch::Receiver<Line>, cuts: u64) {
    let both_ways = async {
        let mut far = TcpStream::connect(target).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        copy_bidirectional(&mut near, &mut far).await
    };
    tokio::select! {
        _ = both_ways => {}
        _ = line.wait_for(|line| line.cuts > cuts) => {}
    }
}
