//! TLS to PostgreSQL, with the parameters of libpq.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What a database URL says about TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TlsOptions {
    mode: Mode,
    root: Option<Root>,
    /// Certificate and key that the service shows to PostgreSQL.
    identity: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Root {
    System,
    File(PathBuf),
}

impl TlsOptions {
    pub fn none() -> Self {
        TlsOptions { mode: Mode::Disable, root: None, identity: None }
    }

    /// Takes these parameters out of a database URL or a `key=value` string. Returns the rest of the text, for another
    /// parser, and the options.
    pub fn take(text: &str) -> Result<(String, Self), String> {
        let mut taken = Taken::default();
        let rest = if text.contains("://") {
            let Some((head, query)) = text.rsplit_once('?') else { return Ok((text.to_owned(), Self::of(taken)?)) };
            let kept: Vec<&str> = query.split('&').filter(|pair| !taken.take(pair, true)).collect();
            if kept.is_empty() { head.to_owned() } else { format!("{head}?{}", kept.join("&")) }
        } else {
            pairs(text).into_iter().filter(|pair| !taken.take(pair, false)).collect::<Vec<_>>().join(" ")
        };
        Ok((rest, Self::of(taken)?))
    }

    fn of(taken: Taken) -> Result<Self, String> {
        let mode = match taken.sslmode.as_deref() {
            None | Some("prefer") => Mode::Prefer,
            Some("disable") => Mode::Disable,
            Some("require") => Mode::Require,
            Some("verify-ca") => Mode::VerifyCa,
            Some("verify-full") => Mode::VerifyFull,
            Some(_) => {
                return Err("has an sslmode other than disable, prefer, require, verify-ca and verify-full".into());
            }
        };
        let root = taken.sslrootcert.map(|path| if path == "system" { Root::System } else { Root::File(path.into()) });
        if root.is_none() && matches!(mode, Mode::VerifyCa | Mode::VerifyFull) {
            return Err("has an sslmode that needs sslrootcert: a file, or system".into());
        }
        if root == Some(Root::System) && mode != Mode::VerifyFull {
            return Err("has sslrootcert=system, which needs sslmode=verify-full".into());
        }
        let identity = match (taken.sslcert, taken.sslkey) {
            (Some(cert), Some(key)) => Some((cert.into(), key.into())),
            (None, None) => None,
            _ => return Err("has one of sslcert and sslkey without the other".into()),
        };
        Ok(TlsOptions { mode, root, identity })
    }

    pub fn wanted(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// # Errors
    /// Which file cannot be used.
    pub fn connector(&self) -> Result<MakeRustlsConnect, String> {
        if self.mode == Mode::Disable || (self.root.is_none() && self.identity.is_none()) {
            return Ok(unverified());
        }
        let provider = Arc::new(ring::default_provider());
        let (roots, name) = match &self.root {
            None => (None, ""),
            Some(Root::System) => (Some(system_roots()?), "system"),
            Some(Root::File(path)) => (Some(roots_of(path)?), "sslrootcert"),
        };
        let verifier = Arc::new(Verifier {
            provider: provider.clone(),
            chain: match roots {
                None => None,
                Some(roots) => Some(
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                        .build()
                        .map_err(|error| format!("has an {name} that cannot be used: {error}"))?,
                ),
            },
            // As in libpq, `require` with a root means verify-ca.
            name: self.mode == Mode::VerifyFull,
        });
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let unusable = |path: &PathBuf, error: &dyn std::fmt::Display| {
                    format!("names {}, which cannot be used: {error}", path.display())
                };
                let chain = certificates(cert).map_err(|error| unusable(cert, &error))?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| unusable(cert, &error))?
            }
        };
        Ok(MakeRustlsConnect::new(config))
    }
}

/// The parameters of a `key=value` string. Blanks separate them, except for blanks between quotes.
fn pairs(text: &str) -> Vec<&str> {
    let (mut pairs, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                pairs.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    pairs.push(&text[start..]);
    pairs.retain(|pair| !pair.is_empty());
    pairs
}

/// The TLS parameters, as they stand in the text.
#[derive(Default)]
struct Taken {
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    sslcert: Option<String>,
    sslkey: Option<String>,
}

impl Taken {
    /// Takes a parameter, if it is a TLS parameter. Returns whether it is one.
    fn take(&mut self, pair: &str, escaped: bool) -> bool {
        let Some((name, value)) = pair.split_once('=') else { return false };
        let place = match name {
            "sslmode" => &mut self.sslmode,
            "sslrootcert" => &mut self.sslrootcert,
            "sslcert" => &mut self.sslcert,
            "sslkey" => &mut self.sslkey,
            _ => return false,
        };
        let value = if escaped {
            percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
        } else {
            value.trim_matches('\'').to_owned()
        };
        *place = Some(value);
        true
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    match chain {
        Ok(chain) if chain.is_empty() => Err("it has no certificate".into()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(error.to_string()),
    }
}

fn roots_of(path: &PathBuf) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let unusable = |error: String| format!("has an sslrootcert, {}, that cannot be used: {error}", path.display());
    for certificate in certificates(path).map_err(unusable)? {
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err("has sslrootcert=system, but this system has no certificates".into()) } else { Ok(roots) }
}

/// A connector that encrypts, but does not check the server's certificate.
pub(super) fn unverified() -> MakeRustlsConnect {
    static CONNECTOR: OnceLock<MakeRustlsConnect> = OnceLock::new();
    CONNECTOR
        .get_or_init(|| {
            let provider = Arc::new(ring::default_provider());
            let verifier = Verifier { provider: provider.clone(), chain: None, name: false };
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap_or_else(|error| panic!("ring has the protocol versions of rustls: {error}"))
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth();
            MakeRustlsConnect::new(config)
        })
        .clone()
}

/// Checks as much of a server's certificate as the mode asks for.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Checks who signed the certificate; `None` if the signer does not matter.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Whether the certificate must be for the name of the host.
    name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The chain is checked before the name, so an error about the name means that the chain is valid.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_out_of_both_forms() {
        let url = "postgresql://u:p@h/db?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fca%20s.pem";
        let (rest, options) = TlsOptions::take(url).expect("valid");
        assert_eq!(rest, "postgresql://u:p@h/db?connect_timeout=3");
        assert_eq!((options.mode, options.root), (Mode::VerifyFull, Some(Root::File("/ca s.pem".into()))));
        let (rest, options) = TlsOptions::take("host=h sslmode=disable dbname=db").expect("valid");
        assert_eq!((rest.as_str(), options), ("host=h dbname=db", TlsOptions::none()));
        let (rest, options) = TlsOptions::take("host=h password='a  b' sslmode='require'").expect("valid");
        assert_eq!((rest.as_str(), options.mode), ("host=h password='a  b'", Mode::Require));
        for wrong in ["sslmode=allow", "sslmode=verify-ca", "sslmode=require&sslrootcert=system", "sslcert=a"] {
            assert!(TlsOptions::take(&format!("postgresql://h/db?{wrong}")).is_err(), "{wrong}");
        }
    }
}
