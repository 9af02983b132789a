//! Connections: how many at once, and how long one may stand still.
//!
//! A client that reads too slowly must cost a bounded number of bytes for a bounded time: once no
//! byte has moved either way for the idle time, its connection fails, and with it whatever is
//! being sent. Healthy streams move a keep-alive far more often.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::tls::{Tls, Wire};

/// A listener that hands out at most so many connections at a time; further clients wait in the
/// kernel's backlog until one ends.
pub(crate) struct Bounded {
    listener: TcpListener,
    free: Arc<Semaphore>,
    idle: Duration,
    tls: Option<Tls>,
}

impl Bounded {
    pub(crate) fn new(
        listener: TcpListener,
        connections: usize,
        idle: Duration,
        tls: Option<Tls>,
    ) -> Self {
        let free = Arc::new(Semaphore::new(connections));
        Self {
            listener,
            free,
            idle,
            tls,
        }
    }
}

impl Listener for Bounded {
    type Io = Mortal<Wire>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        // axum's own accept: it logs and retries errors such as too many open files.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "an event may wait for the packet before it");
        }
        let wire = Wire::new(stream, self.tls.as_ref());
        (Mortal::new(wire, self.idle, Some(permit)), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A stream that fails with `TimedOut` when no byte has moved either way for a time.
pub(crate) struct Mortal<S> {
    stream: S,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S> Mortal<S> {
    fn new(stream: S, idle: Duration, permit: Option<OwnedSemaphorePermit>) -> Self {
        let deadline = Box::pin(tokio::time::sleep(idle));
        Self {
            stream,
            idle,
            deadline,
            _permit: permit,
        }
    }

    /// Puts the deadline off when something moved; fails what still waits at the deadline.
    fn judge<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            let (deadline, idle) = (self.deadline.as_mut(), self.idle);
            deadline.reset(Instant::now() + idle);
            return polled;
        }
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mortal<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.judge(polled, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mortal<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // A flush that has nothing to do is ready at once and must not count as a sign of life.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut stream = Mortal::new(near, Duration::from_millis(20), None);
        let error = stream
            .write_all(&[0; 64])
            .await
            .expect_err("only 16 bytes fit");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_sends_nothing_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut stream = Mortal::new(near, Duration::from_millis(20), None);
        let error = stream.read_u8().await.expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_byte_either_way_puts_the_end_off() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut stream = Mortal::new(near, Duration::from_secs(3600), None);
        let first = stream.deadline.deadline();
        tokio::time::sleep(Duration::from_millis(2)).await;
        far.write_u8(7).await.expect("16 bytes fit");
        assert_eq!(stream.read_u8().await.expect("one was sent"), 7);
        assert!(stream.deadline.deadline() > first);
    }
}
