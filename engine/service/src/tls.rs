//! TLS of the listeners: a certificate and its key in files, read again when they have changed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use crate::HttpSettings;

/// How often the files are looked at, when connections come.
const LOOK: Duration = Duration::from_secs(5);

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the two files is not named.
    #[error("--tls-cert and --tls-key go together")]
    Half,
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has not what it must have.
    #[error("{} is no PEM file with {what}: {why}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The certificate and the key are not of each other, or cannot be used.
    #[error("the certificate cannot be used with the key: {0}")]
    Unusable(#[from] tokio_rustls::rustls::Error),
}

/// What makes connections TLS.
pub(crate) struct Tls {
    files: [PathBuf; 2],
    look: Duration,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    changed: [Option<SystemTime>; 2],
    looked_at: Instant,
}

impl Tls {
    /// As the settings say; `None` if connections are plain.
    pub(crate) fn open(settings: &HttpSettings) -> Result<Option<Self>, TlsError> {
        match (&settings.tls_cert, &settings.tls_key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Self::new([cert.clone(), key.clone()], LOOK).map(Some),
            _ => Err(TlsError::Half),
        }
    }

    fn new(files: [PathBuf; 2], look: Duration) -> Result<Self, TlsError> {
        let state = State {
            changed: changed(&files),
            config: read(&files)?,
            looked_at: Instant::now(),
        };
        let state = Mutex::new(state);
        Ok(Self { files, look, state })
    }

    /// Makes a connection TLS.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.current()).accept(stream).await
    }

    /// The configuration of the newest files that can be used.
    fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked_at.elapsed() >= self.look {
            state.looked_at = Instant::now();
            let changed = changed(&self.files);
            if changed != state.changed {
                match read(&self.files) {
                    Ok(config) => {
                        info!("the certificate was read anew");
                        state.config = config;
                        state.changed = changed;
                    }
                    // Half of a change, most likely: the next look finds the other half.
                    Err(error) => warn!(%error, "the certificate has changed and cannot be used"),
                }
            }
        }
        Arc::clone(&state.config)
    }
}

fn changed(files: &[PathBuf; 2]) -> [Option<SystemTime>; 2] {
    let of = |file: &PathBuf| std::fs::metadata(file).and_then(|about| about.modified()).ok();
    [of(&files[0]), of(&files[1])]
}

fn read([cert, key]: &[PathBuf; 2]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| failed(cert, "certificates", error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, "a private key", error))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, secret)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn failed(path: &Path, what: &'static str, error: pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::Unreadable { path, source },
        error => TlsError::NotPem {
            path,
            what,
            why: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &[PathBuf; 2], cert: &rcgen::CertifiedKey<rcgen::KeyPair>) {
        std::fs::write(&files[0], cert.cert.pem()).unwrap();
        std::fs::write(&files[1], cert.signing_key.serialize_pem()).unwrap();
    }

    fn of(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let error = |files: &[PathBuf; 2]| Tls::new(files.clone(), LOOK).err().unwrap().to_string();
        assert!(error(&files).contains("cert.pem"));
        write(&files, &of("a.test"));
        std::fs::write(&files[1], "no key").unwrap();
        assert!(
            error(&files).contains("key.pem is no PEM file with a private key"),
            "{}",
            error(&files)
        );
        std::fs::write(&files[1], of("b.test").signing_key.serialize_pem()).unwrap();
        assert!(error(&files).starts_with("the certificate cannot be used with the key"));
        let half = HttpSettings {
            tls_cert: Some(files[0].clone()),
            ..HttpSettings::default()
        };
        assert!(matches!(Tls::open(&half), Err(TlsError::Half)));
    }

    #[tokio::test]
    async fn a_changed_certificate_is_read_anew_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        write(&files, &of("a.test"));
        let tls = Tls::new(files.clone(), Duration::ZERO).unwrap();
        let first = tls.current();
        assert!(Arc::ptr_eq(&first, &tls.current()), "nothing has changed");
        let later = |seconds| {
            let at = SystemTime::now() + Duration::from_secs(seconds);
            std::fs::File::options()
                .write(true)
                .open(&files[1])
                .unwrap()
                .set_modified(at)
                .unwrap();
        };
        std::fs::write(&files[1], "no key").unwrap();
        later(10);
        assert!(Arc::ptr_eq(&first, &tls.current()), "the new key is none");
        write(&files, &of("b.test"));
        later(20);
        assert!(!Arc::ptr_eq(&first, &tls.current()), "both are new");
    }
}
