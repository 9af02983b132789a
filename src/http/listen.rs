//! The address to listen on: loopback unless the config says otherwise, in so many words.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Why the service cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "cannot listen on {address} (config key http.listen): another program uses the port; \
         stop it or choose another port"
    )]
    InUse { address: SocketAddr },
    #[error(
        "cannot listen on {address} (config key http.listen): no network interface of this \
         machine has that address; 127.0.0.1 always works"
    )]
    NoSuchAddress { address: SocketAddr },
    #[error(
        "cannot listen on {address} (config key http.listen): not permitted; choose a port of \
         1024 or more"
    )]
    NotPermitted { address: SocketAddr },
    #[error("cannot listen on {address} (config key http.listen)")]
    Other {
        address: SocketAddr,
        source: io::Error,
    },
    #[error(
        "http.listen = \"{address}\" lets other machines in, and there is no sign-in yet: listen \
         on 127.0.0.1, or set http.allow_unauthenticated = true if the network itself keeps \
         strangers out"
    )]
    Exposed { address: SocketAddr },
}

/// Refuses an address that other machines reach, unless the config explicitly allows it.
pub fn check_exposure(address: SocketAddr, allow_unauthenticated: bool) -> Result<(), ListenError> {
    if address.ip().is_loopback() || allow_unauthenticated {
        Ok(())
    } else {
        Err(ListenError::Exposed { address })
    }
}

/// Returns a listener on `address`; port 0 takes any free one.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address },
            io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress { address },
            io::ErrorKind::PermissionDenied => ListenError::NotPermitted { address },
            _ => ListenError::Other { address, source },
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_loopback_needs_no_permission() {
        for inside in ["127.0.0.1:80", "127.8.8.8:80", "[::1]:80"] {
            assert!(check_exposure(address(inside), false).is_ok(), "{inside}");
        }
        for outside in ["0.0.0.0:80", "192.168.1.4:80", "[::]:80"] {
            let refused = check_exposure(address(outside), false).expect_err(outside);
            assert!(
                refused.to_string().contains("http.allow_unauthenticated"),
                "{refused}"
            );
            assert!(check_exposure(address(outside), true).is_ok(), "{outside}");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_key() {
        let first = bind(address("127.0.0.1:0")).await.expect("a free port");
        let taken = first.local_addr().expect("it is bound");
        let error = bind(taken).await.expect_err("it is in use").to_string();
        assert!(
            error.contains(&taken.to_string()) && error.contains("http.listen"),
            "{error}"
        );
    }
}
