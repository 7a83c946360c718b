//! A TCP balancer, as it stands before several nodes: one address, and for each connection the next node that takes it.
//!
//! Owns the list of nodes in turn. It knows nothing of what it passes on, and notices a dead node by its refusal.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The balancer. Dropping it cuts every connection.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    ring: Arc<Mutex<Ring>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Ring {
    nodes: Vec<SocketAddr>,
    next: usize,
}

impl Balancer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, ring) = (listener.local_addr().unwrap(), Arc::<Mutex<Ring>>::default());
        Self { address, ring: ring.clone(), task: tokio::spawn(accept(listener, ring)) }
    }

    /// New connections go to it too.
    pub(crate) fn add(&self, node: SocketAddr) {
        self.ring.lock().unwrap().nodes.push(node);
    }

    /// New connections no longer go to it; those that there are stay.
    pub(crate) fn remove(&self, node: SocketAddr) {
        self.ring.lock().unwrap().nodes.retain(|known| *known != node);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ring {
    /// The nodes, each once, in another order with every call.
    fn turn(&mut self) -> Vec<SocketAddr> {
        self.next += 1;
        let mut nodes = self.nodes.clone();
        let count = nodes.len().max(1);
        nodes.rotate_left(self.next % count);
        nodes
    }
}

async fn accept(listener: TcpListener, ring: Arc<Mutex<Ring>>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        let turn = ring.lock().unwrap().turn();
        connections.spawn(pass(near, turn));
    }
}

/// Passes bytes on, to the first node that accepts, until either side ends.
async fn pass(mut near: TcpStream, nodes: Vec<SocketAddr>) {
    for node in nodes {
        let Ok(mut far) = TcpStream::connect(node).await else { continue };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let _ = copy_bidirectional(&mut near, &mut far).await;
        return;
    }
}
