//! The line between one node and Redis, which can be cut in the two ways that networks know.
//!
//! Owns what the line does at the moment. It looks at no byte.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Bytes come through.
    Open,
    /// Every connection is reset, and new ones too.
    Reset,
    /// Connections stay, new ones are accepted, and no byte comes through until the line is open again.
    BlackHole,
}

/// A line to one address.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Line {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, watcher) = watch::channel(Way::Open);
        Self { address, way, task: tokio::spawn(accept(listener, port, watcher)) }
    }

    pub(crate) fn turn(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        connections.spawn(pass(near, port, way.clone()));
    }
}

async fn pass(mut near: TcpStream, port: u16, mut way: watch::Receiver<Way>) {
    let (there_way, back_way) = (way.clone(), way.clone());
    let both_ways = async {
        let mut far = TcpStream::connect(("127.0.0.1", port)).await?;
        far.set_nodelay(true)?;
        near.set_nodelay(true)?;
        let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
        tokio::select! {
            ended = pump(from_near, to_far, there_way) => ended,
            ended = pump(from_far, to_near, back_way) => ended,
        }
    };
    let is_reset = tokio::select! {
        _ = both_ways => false,
        reset = way.wait_for(|way| *way == Way::Reset) => reset.is_ok(),
    };
    if is_reset {
        let _ = near.set_zero_linger();
    }
}

/// Copies, and holds back what it has while nothing comes through.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut bytes).await?;
        // The end of a connection does not come through either.
        if way.wait_for(|way| *way != Way::BlackHole).await.is_err() || count == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}
