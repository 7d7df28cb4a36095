//! Certificates of the tests' own: an authority that nobody else knows, and what it signs, made by openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// An authority, gone when it is dropped.
pub(crate) struct Authority(TempDir);

/// Where a certificate and its key lie.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// The certificate, PEM.
    pub(crate) cert: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let authority = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        let (cert, key) = (authority.file(), authority.key());
        openssl(&["-subj", "/CN=authority of a test", "-days", "30"], &cert, &key);
        authority
    }

    /// Its own certificate: the root that clients are to trust.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("authority.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("authority.key")
    }

    /// A certificate for this machine, as `cert.pem` and `key.pem` in that folder, which is made if it is not there.
    pub(crate) fn issue(&self, folder: &Path) -> Issued {
        fs::create_dir_all(folder).expect("a folder can be made");
        let issued = Issued { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        let (cert, key) = (self.file(), self.key());
        let text = |path: &Path| path.to_str().expect("a path of the tests is text").to_owned();
        let arguments = [
            "-CA",
            &text(&cert),
            "-CAkey",
            &text(&key),
            "-days",
            "1",
            "-subj",
            "/CN=coherd",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ];
        openssl(&arguments, &issued.cert, &issued.key);
        issued
    }
}

fn openssl(arguments: &[&str], cert: &Path, key: &Path) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    let made = command.args(arguments).arg("-keyout").arg(key).arg("-out").arg(cert).output();
    let made = made.expect("openssl runs: it is a program that the tests need");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}
