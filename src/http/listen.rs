//! The address to listen on, and in words what keeps the service from it. (Whether an address may
//! be open to the network is the config's to check.)

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
