//! TLS of the service's own port. When the files change they are read again, so that certificates can be rotated. If
//! the new files cannot be used, the service logs the fault and keeps the old certificates.

use arc_swap::ArcSwap;
use prometheus::IntGauge;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// The PEM files of the service's own port.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// The authorities of which clients must show a certificate. `None`: clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// What is wrong with the files, by the names of their settings.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if let Err(fault) = self.certified() {
            faults.push(("TLS_CERT_FILE", fault));
        }
        if let Err(fault) = self.client_verifier() {
            faults.push(("TLS_CLIENT_CA_FILE", fault));
        }
        faults
    }

    fn certified(&self) -> Result<CertifiedKey, String> {
        let chain = certificates(&self.cert)?;
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| format!("{}: {error}", self.key.display()))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| format!("{} does not go with {}: {error}", self.cert.display(), self.key.display()))
    }

    fn client_verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
        let Some(path) = &self.client_ca else { return Ok(None) };
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| named(&error))?;
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        verifier.map(Some).map_err(|error| named(&error))
    }

    /// The digest of everything that the files hold now.
    fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for path in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten() {
            hasher.update(std::fs::read(path).unwrap_or_default());
            hasher.update([0]);
        }
        hasher.finalize().into()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    match chain {
        Ok(chain) if chain.is_empty() => Err(named(&"it has no certificate")),
        chain => chain.map_err(|error| named(&error)),
    }
}

/// The certificates that the sockets use now.
pub struct Tls {
    files: TlsFiles,
    certified: Arc<Certified>,
    clients: Option<Arc<Clients>>,
    seen: [u8; 32],
}

impl Tls {
    /// # Errors
    /// What is wrong with a file. The error names the file.
    pub fn load(files: TlsFiles) -> Result<Self, String> {
        let seen = files.digest();
        let certified = Arc::new(Certified(ArcSwap::from_pointee(files.certified()?)));
        let clients = files.client_verifier()?.map(|verifier| Arc::new(Clients(ArcSwap::from_pointee(verifier))));
        Ok(Tls { files, certified, clients, seen })
    }

    /// # Errors
    /// Never, with the crypto provider that is built in.
    pub fn server_config(&self) -> Result<ServerConfig, Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(self.certified.clone());
        if self.clients.is_some() {
            // A client that comes back must show its certificate again, because its authority may not be accepted any
            // more.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    /// Loads changed files, for as long as the future is polled, and says in the metric when the certificate ends.
    pub async fn watch(mut self, expiry: IntGauge) {
        expiry.set(self.certified.expiry());
        loop {
            sleep(LOOK).await;
            let seen = self.files.digest();
            if seen == self.seen {
                continue;
            }
            match (self.files.certified(), self.files.client_verifier()) {
                (Ok(certified), Ok(verifier)) => {
                    self.certified.0.store(Arc::new(certified));
                    expiry.set(self.certified.expiry());
                    if let (Some(clients), Some(verifier)) = (&self.clients, verifier) {
                        clients.0.store(Arc::new(verifier));
                    }
                    tracing::info!("certificates reloaded");
                }
                // A certificate and its key are replaced one after the other. When the second file changes, the files
                // are read again.
                (Err(fault), _) | (_, Err(fault)) => tracing::error!(fault, "the certificates are not taken up"),
            }
            self.seen = seen;
        }
    }
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Certified(ArcSwap<CertifiedKey>);

impl Certified {
    /// When the first certificate of the chain to end does, as seconds since 1970. 0 if it cannot be read.
    fn expiry(&self) -> i64 {
        let certified = self.0.load();
        let end = |certificate: &CertificateDer<'_>| {
            let certificate = Certificate::from_der(certificate).ok()?;
            let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
            i64::try_from(end.as_secs()).ok()
        };
        let ends = certified.cert.iter().filter_map(end).min();
        ends.unwrap_or(0)
    }
}

impl ResolvesServerCert for Certified {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Checks the certificates of clients, and says why one is refused.
#[derive(Debug)]
struct Clients(ArcSwap<Arc<dyn ClientCertVerifier>>);

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verdict = self.0.load().verify_client_cert(end_entity, intermediates, now);
        if let Err(error) = &verdict {
            tracing::warn!(%error, "a client's certificate is refused");
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
    }
}
