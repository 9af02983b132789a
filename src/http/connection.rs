//! Connections: how many at once, and how long one may stand still.
//!
//! A client that reads too slowly must cost a bounded number of bytes for a bounded time: once no
//! byte has moved either way for the idle time, its connection fails, and with it whatever is
//! being sent. Healthy streams move a keep-alive far more often.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::Limits;
use super::tls::{Tls, Wire};

/// A listener that hands out at most so many connections at a time; further clients wait in the
/// kernel's backlog until one ends.
pub(crate) struct Bounded {
    listener: TcpListener,
    free: Arc<Semaphore>,
    idle: Duration,
    tls: Option<Tls>,
    clients: Clients,
}

impl Bounded {
    /// Returns the listener; `proxies` bring the connections of many clients.
    pub(crate) fn new(
        listener: TcpListener,
        limits: &Limits,
        tls: Option<Tls>,
        proxies: Vec<IpAddr>,
    ) -> Self {
        Self {
            listener,
            free: Arc::new(Semaphore::new(limits.connections)),
            idle: limits.idle,
            tls,
            clients: Clients {
                most: limits.connections_of_one,
                proxies,
                open: Arc::default(),
            },
        }
    }
}

/// How many connections each client has: one of them must not take all places from the others.
struct Clients {
    most: usize,
    proxies: Vec<IpAddr>,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Clients {
    /// Returns a place for one more connection of `client`; none where it has as many as it may. This
    /// machine's own and proxies may have any number.
    fn place(&self, client: IpAddr) -> Option<Place> {
        let client = client.to_canonical();
        let is_bounded = !client.is_loopback() && !self.proxies.contains(&client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if is_bounded && *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            client,
            open: Arc::clone(&self.open),
        })
    }
}

/// One connection that is counted as long as it lasts.
struct Place {
    client: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(self.client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Listener for Bounded {
    type Io = Mortal<Wire>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let (stream, peer, place) = loop {
            // axum's own accept: it logs and retries errors such as too many open files.
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            match self.clients.place(peer.ip()) {
                Some(place) => break (stream, peer, place),
                // Closed: whoever comes in such numbers gets no answer.
                None => metrics::counter!("plumb_http_connections_refused_total").increment(1),
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "an event may wait for the packet before it");
        }
        let wire = Wire::new(stream, self.tls.as_ref());
        (Mortal::new(wire, self.idle, Some((permit, place))), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A stream that fails with `TimedOut` when no byte has moved either way for a time, or when nothing
/// was answered for as long since it began to ask: bytes that come one by one and never make a request
/// must not hold a place for ever.
pub(crate) struct Mortal<S> {
    stream: S,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    /// Until when something must be answered to what was read since the last answer.
    owed_until: Option<Instant>,
    _counted: Option<(OwnedSemaphorePermit, Place)>,
}

impl<S> Mortal<S> {
    fn new(stream: S, idle: Duration, counted: Option<(OwnedSemaphorePermit, Place)>) -> Self {
        let deadline = Box::pin(tokio::time::sleep(idle));
        Self {
            stream,
            idle,
            deadline,
            owed_until: None,
            _counted: counted,
        }
    }

    /// Puts the deadline off when something moved; fails what still waits at the deadline.
    fn judge<T>(
        &mut self,
        way: Way,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            let until = Instant::now() + self.idle;
            let until = match way {
                Way::Out => {
                    self.owed_until = None;
                    until
                }
                Way::In => *self.owed_until.get_or_insert(until),
            };
            self.deadline.as_mut().reset(until);
            return polled;
        }
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Which way bytes move.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

impl<S: AsyncRead + Unpin> AsyncRead for Mortal<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.judge(Way::In, polled, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mortal<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(Way::Out, polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(Way::Out, polled, context)
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

    #[test]
    fn one_client_cannot_take_all_places_but_a_proxy_may() {
        let proxy: IpAddr = "192.0.2.1".parse().expect("an address");
        let clients = Clients {
            most: 2,
            proxies: vec![proxy],
            open: Arc::default(),
        };
        let client: IpAddr = "::ffff:198.51.100.7".parse().expect("an address");
        let held = [clients.place(client), clients.place(client)];
        assert!(held.iter().all(Option::is_some) && clients.place(client).is_none());
        for other in ["198.51.100.8", "127.0.0.1", "192.0.2.1"] {
            let other: IpAddr = other.parse().expect("an address");
            assert!(clients.place(other).is_some());
            let many: Vec<_> = (0..5).map(|_| clients.place(other)).collect();
            let all = many.iter().all(Option::is_some);
            assert_eq!(all, other.is_loopback() || other == proxy);
        }
        drop(held);
        assert!(clients.place(client).is_some());
        assert!(clients.open.lock().expect("not poisoned").is_empty());
    }

    #[tokio::test]
    async fn a_byte_either_way_puts_the_end_off_but_not_without_end() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut stream = Mortal::new(near, Duration::from_secs(3600), None);
        let mut ends = vec![stream.deadline.deadline()];
        for is_answered in [false, false, true] {
            let before = Instant::now();
            while Instant::now() == before {
                std::hint::spin_loop();
            }
            if is_answered {
                stream.write_u8(1).await.expect("16 bytes fit");
            } else {
                far.write_u8(7).await.expect("16 bytes fit");
                assert_eq!(stream.read_u8().await.expect("one was sent"), 7);
            }
            ends.push(stream.deadline.deadline());
        }
        assert!(ends[1] > ends[0], "it begins to ask");
        assert_eq!(ends[2], ends[1], "one more byte of it buys no time");
        assert!(ends[3] > ends[2], "it was answered");
    }
}
