//! Certificates for tests: authorities, and what they sign.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An authority that signs certificates, and a folder for its files.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    folder: TempDir,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Signed {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), &pem).expect("written");
        Authority { issuer: Issuer::new(params, key), pem, folder }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate for a name or an address.
    pub fn sign(&self, name: &str) -> Signed {
        self.sign_until(name, 2100)
    }

    /// An expired certificate for a name or an address.
    pub fn sign_expired(&self, name: &str) -> Signed {
        self.sign_until(name, 2001)
    }

    fn sign_until(&self, name: &str, year: i32) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let path = |what: &str| self.folder.path().join(format!("{name}-{year}-{what}.pem"));
        let signed = Signed { cert: path("cert"), key: path("key") };
        std::fs::write(&signed.cert, cert.pem()).expect("written");
        std::fs::write(&signed.key, key.serialize_pem()).expect("written");
        signed
    }
}

impl Signed {
    pub fn server_config(&self) -> rustls::ServerConfig {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let chain = CertificateDer::pem_file_iter(&self.cert).expect("PEM").map(|cert| cert.expect("PEM")).collect();
        let key = PrivateKeyDer::from_pem_file(&self.key).expect("PEM");
        rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("they go together")
    }
}
