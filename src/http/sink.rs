//! A receiver that answers 204 to everything, for the bench: what it measures must not wait for a
//! receiver that works.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;

/// Starts the receiver on a free port of loopback and returns its address; it runs until the
/// process ends. Fails when no port is free.
pub async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let app = Router::new().fallback(|| async { StatusCode::NO_CONTENT });
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
