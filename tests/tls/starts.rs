//! Certificates that cannot be used: neither `serve` nor `check` goes on, and both say which file it is.

use std::fs;
use std::path::Path;

use super::alone;
use crate::harness::certificates::{Authority, Issued};
use crate::harness::command::{Ran, run};
use crate::harness::instance::{Instance, coherd};
use crate::harness::wait::SOON;

async fn check(issued: &Issued) -> Ran {
    let set = |name: &str, path: &Path| format!("server.tls.{name}={}", path.display());
    let (cert, key) = (set("cert", &issued.cert), set("key", &issued.key));
    run(coherd().args(["check", "--set", &cert, "--set", &key]), b"").await
}

#[tokio::test]
async fn a_pair_that_is_none_stops_the_start_with_its_file_and_without_its_content() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let good = authority.issue(&folder.path().join("good"));
    let other = authority.issue(&folder.path().join("other"));
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file can be written");
        path
    };
    let key_pem = fs::read_to_string(&good.key).expect("the key was made");
    let hidden = key_pem.lines().nth(1).expect("a key has a second line").to_owned();
    let sound = check(&good).await;
    assert_eq!(sound.code, Some(0), "{sound:?}");
    assert!(!sound.out.contains(&hidden), "{sound:?}");

    let cut = file("cut.pem", &format!("-----BEGIN PRIVATE KEY-----\n{hidden}\n"));
    let junk =
        file("junk.pem", &format!("-----BEGIN PRIVATE KEY-----\n{hidden}\n-----END PRIVATE KEY-----\n"));
    let mixed = format!("-----BEGIN CERTIFICATE-----\n{hidden}\n-----END CERTIFICATE-----\n");
    let no_cert = file("mixed.pem", &mixed);
    let nowhere = folder.path().join("nowhere.pem");
    for (issued, key, says) in [
        (Issued { cert: nowhere.clone(), ..good.clone() }, "cert", "nowhere.pem` cannot be read"),
        (Issued { key: nowhere, ..good.clone() }, "key", "nowhere.pem` cannot be read"),
        (
            Issued { key: other.key, ..good.clone() },
            "key",
            "other/key.pem` is not that of the certificate in",
        ),
        (Issued { key: good.cert.clone(), ..good.clone() }, "key", "cert.pem` holds no private key"),
        (Issued { cert: good.key.clone(), ..good.clone() }, "cert", "key.pem` holds no certificate"),
        (Issued { cert: no_cert, ..good.clone() }, "cert", "mixed.pem` is not usable"),
        (Issued { key: cut, ..good.clone() }, "key", "cut.pem` is no PEM"),
        (Issued { key: junk, ..good.clone() }, "key", "junk.pem` is not usable"),
    ] {
        let checked = check(&issued).await;
        assert_eq!(checked.code, Some(2), "{says}: {checked:?}");
        assert!(checked.err.contains(&format!("server.tls.{key}")), "{says}: {}", checked.err);
        assert!(checked.err.contains(says), "{says}: {}", checked.err);
        assert!(!checked.err.contains(&hidden) && !checked.out.contains(&hidden), "{says}: {checked:?}");
        let mut refused = Instance::launch(alone(&issued, &authority));
        assert_eq!(refused.exit(SOON).await.code(), Some(2), "{says}: {}", refused.output());
        assert!(
            refused.output().contains(says) && !refused.output().contains(&hidden),
            "{}",
            refused.output()
        );
    }
}
