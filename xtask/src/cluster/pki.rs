//! The certificates of a cluster: one authority, and the identities that RBAC sees as certificate subjects.
//!
//! The authority and the service-account key are made once per cluster folder; the other certificates are made
//! again at every start, so that they carry the addresses of now. Nothing here talks to the cluster.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// What a certificate proves.
pub(crate) enum Purpose<'a> {
    /// A client; the group is the certificate's organization.
    Client { group: Option<&'a str> },
    /// A server under these names and addresses.
    Server {
        names: &'a [&'a str],
        addresses: &'a [IpAddr],
    },
}

/// The authority of one cluster.
pub(crate) struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads the authority in `dir`, or makes it.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
        if !certificate.exists() {
            let pair = KeyPair::generate().context("cannot make the authority's key")?;
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(DnType::CommonName, "kubectl-mcp local cluster");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![
                KeyUsagePurpose::KeyCertSign,
                KeyUsagePurpose::CrlSign,
                KeyUsagePurpose::DigitalSignature,
            ];
            let signed = params
                .self_signed(&pair)
                .context("cannot sign the authority")?;
            write_private(&key, &pair.serialize_pem())?;
            fs::write(&certificate, signed.pem()).context("cannot write the authority")?;
        }
        let pair = KeyPair::from_pem(&read(&key)?).context("the authority's key is unreadable")?;
        let issuer = Issuer::from_ca_cert_pem(&read(&certificate)?, pair)
            .context("the authority is unreadable")?;
        Ok(Self {
            dir: dir.to_owned(),
            issuer,
        })
    }

    /// Writes `FILE.crt` and `FILE.key` for the subject.
    pub(crate) fn issue(&self, file: &str, common_name: &str, purpose: &Purpose<'_>) -> Result<()> {
        let pair = KeyPair::generate().with_context(|| format!("cannot make the key of {file}"))?;
        let mut params = CertificateParams::default();
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        match purpose {
            Purpose::Client { group } => {
                if let Some(group) = group {
                    params
                        .distinguished_name
                        .push(DnType::OrganizationName, *group);
                }
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
            Purpose::Server { names, addresses } => {
                for name in *names {
                    let name = (*name)
                        .try_into()
                        .with_context(|| format!("`{name}` is no DNS name"))?;
                    params.subject_alt_names.push(SanType::DnsName(name));
                }
                params
                    .subject_alt_names
                    .extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
        }
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let signed = params
            .signed_by(&pair, &self.issuer)
            .with_context(|| format!("cannot sign the certificate of {file}"))?;
        write_private(&self.dir.join(format!("{file}.key")), &pair.serialize_pem())?;
        fs::write(self.dir.join(format!("{file}.crt")), signed.pem())
            .with_context(|| format!("cannot write the certificate of {file}"))
    }

    /// Writes the key pair that signs service-account tokens, unless it is there.
    pub(crate) fn service_account_key(&self) -> Result<()> {
        let key = self.dir.join("sa.key");
        if key.exists() {
            return Ok(());
        }
        let pair = KeyPair::generate().context("cannot make the service-account key")?;
        fs::write(self.dir.join("sa.pub"), pair.public_key_pem())
            .context("cannot write the service-account key")?;
        write_private(&key, &pair.serialize_pem())
    }

    /// Writes a kubeconfig for the client certificate `FILE`, with everything inside.
    pub(crate) fn kubeconfig(&self, target: &Path, server: &str, file: &str) -> Result<()> {
        let data =
            |name: &str| -> Result<String> { Ok(STANDARD.encode(read(&self.dir.join(name))?)) };
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")?}}],
            "users": [{"name": file, "user": {
                "client-certificate-data": data(&format!("{file}.crt"))?,
                "client-key-data": data(&format!("{file}.key"))?,
            }}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": file}}],
            "current-context": "local",
        });
        write_private(target, &format!("{config:#}\n"))
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let open = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    open().with_context(|| format!("cannot write {}", path.display()))
}
