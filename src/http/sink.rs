//! A receiver that answers 204 to everything, for the bench: what it measures must not wait for a
//! receiver that works.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Called with each message just before it is answered.
pub type Received = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// A receiver that runs until it is dropped.
pub struct Sink {
    address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl Sink {
    /// Starts a receiver on a free port of loopback. Fails when no port is free.
    pub async fn start(received: Received) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        // axum bounds the body at 2 MB, far more than a message has.
        let app = Router::new().fallback(move |body: Bytes| {
            received(&body);
            async { StatusCode::NO_CONTENT }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, task })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}
