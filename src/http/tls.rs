//! TLS by rustls, from a certificate and a key in files. Other files than these two are never read,
//! and the key never leaves this module. Renewed files are taken over while the service runs: at
//! SIGHUP, and within a minute without one. Files that do not fit change nothing, and are logged.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// Why the service cannot speak TLS; each names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(
        "{path} (config key http.{key}) cannot be read as PEM: is it the right file, and readable?"
    )]
    Pem {
        key: &'static str,
        path: PathBuf,
        source: pem::Error,
    },
    #[error("{path} (config key http.tls_certificate) holds no certificate")]
    Empty { path: PathBuf },
    #[error("the certificate {path} and the key of http.tls_key do not fit together")]
    Unfit {
        path: PathBuf,
        source: rustls::Error,
    },
}

/// What a connection's handshake needs; clones share it. It prints as nothing.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    /// For connections from now on; those that are open keep theirs.
    acceptor: RwLock<TlsAcceptor>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the certificate chain and its key. Fails when one cannot be read or they do not fit.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(Inner {
            acceptor: RwLock::new(acceptor(certificate, key)?),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })))
    }

    /// Reads both files again. Fails when they cannot be used; the old ones then stay. Blocks.
    fn read_again(&self) -> Result<(), TlsError> {
        let new = acceptor(&self.0.certificate, &self.0.key)?;
        *self
            .0
            .acceptor
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        let acceptor = self.0.acceptor.read();
        acceptor
            .unwrap_or_else(PoisonError::into_inner)
            .accept(stream)
    }

    /// Returns when both files were changed last; what cannot be told is none.
    fn changed_at(&self) -> [Option<SystemTime>; 2] {
        [&self.0.certificate, &self.0.key].map(|path| {
            let metadata = std::fs::metadata(path);
            metadata.and_then(|metadata| metadata.modified()).ok()
        })
    }

    /// Takes over renewed files until `stop`.
    pub(super) async fn follow(self, stop: CancellationToken) {
        let mut hang_up = match signal(SignalKind::hangup()) {
            Ok(hang_up) => hang_up,
            Err(error) => {
                tracing::error!(%error, "SIGHUP cannot be waited for: a renewed certificate needs a restart");
                return;
            }
        };
        let mut known = self.changed_at();
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                _ = hang_up.recv() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let now = self.changed_at();
            if !asked && now == known {
                continue;
            }
            known = now;
            let own = self.clone();
            match tokio::task::spawn_blocking(move || own.read_again()).await {
                Ok(Ok(())) => tracing::info!("the TLS certificate was read again"),
                Ok(Err(error)) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the renewed TLS certificate cannot be used; the old one stays"
                ),
                Err(error) => tracing::error!(%error, "reading the TLS certificate has failed"),
            }
        }
    }
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let wrong = |key, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { key, path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate);
    let chain = chain.and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(wrong("tls_certificate", certificate))?;
    if chain.is_empty() {
        let path = certificate.to_owned();
        return Err(TlsError::Empty { path });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(wrong("tls_key", key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unfit = |source| TlsError::Unfit {
        path: certificate.to_owned(),
        source,
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The bytes of a connection. A handshake goes on as its bytes come, so that a client that is slow
/// about it keeps no other waiting; the connection's idle time bounds it.
pub(crate) enum Wire {
    Plain(TcpStream),
    Shaking(Box<Accept<TcpStream>>),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, tls: Option<&Tls>) -> Self {
        match tls {
            None => Self::Plain(stream),
            Some(tls) => Self::Shaking(Box::new(tls.accept(stream))),
        }
    }

    /// Returns once there is no handshake under way.
    fn poll_shaken(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Shaking(accept) = self {
            let stream = ready!(Pin::new(accept.as_mut()).poll(context))?;
            *self = Self::Encrypted(Box::new(stream));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_shaken(context))?;
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            Self::Shaking(_) => Poll::Pending,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_shaken(context))?;
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
            Self::Shaking(_) => Poll::Pending,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            Self::Shaking(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            Self::Shaking(_) => Poll::Ready(Ok(())),
        }
    }
}
