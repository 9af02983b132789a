//! The client's address, by which failed sign-ins are counted and which the audit log names.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::extract::connect_info::Connected;
use axum::http::{Extensions, HeaderMap};
use axum::serve::IncomingStream;

use super::connection::Bounded;

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Returns the address of the client: the peer's, or what a trusted proxy says it is.
pub(super) fn address(extensions: &Extensions, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<Peer>>();
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |info| {
        info.0.0.ip().to_canonical()
    });
    if proxies.contains(&peer) {
        told(headers).unwrap_or(peer)
    } else {
        peer
    }
}

/// Returns the last address of X-Forwarded-For: the one that the proxy itself saw. Those before it
/// are whatever the client made up.
fn told(headers: &HeaderMap) -> Option<IpAddr> {
    let mut values = headers.get_all("x-forwarded-for").iter();
    let last = values.next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_trusted_proxy_may_name_the_client() {
        let mut extensions = Extensions::new();
        let peer: SocketAddr = "192.0.2.1:5000".parse().expect("an address");
        extensions.insert(ConnectInfo(Peer(peer)));
        let mut headers = HeaderMap::new();
        let made_up = HeaderValue::from_static("10.0.0.1, 198.51.100.7");
        headers.insert("x-forwarded-for", made_up);
        assert_eq!(address(&extensions, &headers, &[]), peer.ip());
        let trusted = address(&extensions, &headers, &[peer.ip()]);
        assert_eq!(trusted.to_string(), "198.51.100.7");
        assert_eq!(
            address(&extensions, &HeaderMap::new(), &[peer.ip()]),
            peer.ip()
        );
    }
}
