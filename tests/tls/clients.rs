//! curl, openssl and coherd's own commands are served, on both listeners, by the versions that are to be spoken.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use super::alone;
use crate::harness::certificates::Authority;
use crate::harness::command::{Ran, run};
use crate::harness::instance::{Instance, coherd};
use crate::harness::wait::SOON;

async fn curl(ca_file: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new("curl");
    run(command.args(["-sS", "--max-time", "20", "--cacert"]).arg(ca_file).args(arguments), b"").await
}

async fn s_client(instance: &Instance, ca_file: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &instance.addr().to_string(), "-verify_return_error", "-CAfile"]);
    run(command.arg(ca_file).args(arguments), b"").await
}

#[tokio::test]
async fn curl_speaks_both_versions_of_http_to_both_listeners() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let instance = Instance::start(alone(&authority.issue(folder.path()), &authority)).await;
    let key = instance.url("/v1/cache/aside/k");
    let wrote = "%{http_code} %{http_version} %{ssl_verify_result} %{scheme}";
    for (version, spoken) in [("--http1.1", "1.1"), ("--http2", "2"), ("--tlsv1.3", "2")] {
        let put = curl(&authority.file(), &[version, "-X", "PUT", "-d", spoken, "-w", wrote, &key]).await;
        assert_eq!(put.code, Some(0), "{put:?}");
        assert!(put.out.ends_with(&format!("}}200 {spoken} 0 HTTPS")), "{put:?}");
        let got = curl(&authority.file(), &[version, "-w", " %{http_code}", &key]).await;
        assert_eq!((got.code, got.out), (Some(0), format!("{spoken} 200")), "{version}: {}", got.err);
        let ready = curl(&authority.file(), &[version, "-w", wrote, &instance.admin_url("/healthz")]).await;
        assert_eq!(ready.out, format!("ok\n200 {spoken} 0 HTTPS"), "{ready:?}");
    }
    let other = Authority::new();
    let distrusted = curl(&other.file(), &[&key]).await;
    assert_eq!(distrusted.code, Some(60), "a certificate of an authority it does not know: {distrusted:?}");
}

#[tokio::test]
async fn only_versions_that_are_safe_are_spoken_and_the_protocol_is_agreed_on() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let instance = Instance::start(alone(&authority.issue(folder.path()), &authority)).await;
    for (version, spoken) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        for protocol in ["h2", "http/1.1"] {
            let shaken = s_client(&instance, &authority.file(), &[version, "-alpn", protocol]).await;
            assert_eq!(shaken.code, Some(0), "{version}: {shaken:?}");
            assert!(shaken.out.contains(&format!("ALPN protocol: {protocol}\n")), "{shaken:?}");
            assert!(shaken.out.contains(&format!("New, {spoken}")), "{shaken:?}");
        }
    }
    for refused in [&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..], &["-alpn", "spdy/3"]] {
        let shaken = s_client(&instance, &authority.file(), refused).await;
        assert_ne!(shaken.code, Some(0), "{refused:?}: {shaken:?}");
    }
    // Who does not know that the port is encrypted is not answered in clear.
    let mut plain = TcpStream::connect(instance.addr()).await.expect("the instance accepts");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is sent");
    let mut answer = Vec::new();
    let _end = timeout(SOON, plain.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/"), "{answer:?}");
}

#[tokio::test]
async fn the_commands_trust_whom_they_are_told_to() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let instance = Instance::start(alone(&authority.issue(folder.path()), &authority)).await;
    let (url, admin) = (instance.url(""), instance.admin_url(""));
    let ca_file = authority.file();
    let ca_file = ca_file.to_str().expect("a path of the tests is text");
    let data = ["--url", &url, "--ca-file", ca_file];
    let put = run(coherd().args(["put", "aside", "k"]).args(data), b"value").await;
    assert_eq!(put.code, Some(0), "{put:?}");
    let got = run(coherd().args(["get", "aside", "k"]).args(data), b"").await;
    assert_eq!((got.code, got.out.as_str()), (Some(0), "value"), "{got:?}");
    let purged =
        run(coherd().args(["invalidate", "-n", "aside", "--key", "k", "--wait", "all"]).args(data), b"")
            .await;
    assert_eq!(purged.code, Some(0), "{purged:?}");
    for command in [&["status"][..], &["explain", "aside", "k"], &["writes", "pending"]] {
        let named =
            run(coherd().args(command).args(["--admin-url", &admin, "--ca-file", ca_file]), b"").await;
        assert_eq!(named.code, Some(0), "{named:?}");
        let mut by_variable = coherd();
        by_variable.args(command).args(["--admin-url", &admin]).env("COHERD_CA_FILE", ca_file);
        assert_eq!(run(&mut by_variable, b"").await.code, Some(0), "{command:?}");
    }
    let distrusted = run(coherd().args(["status", "--admin-url", &admin]), b"").await;
    assert_eq!(distrusted.code, Some(3), "{distrusted:?}");
    assert!(distrusted.err.contains("certificate"), "{distrusted:?}");
    let missing =
        run(coherd().args(["status", "--admin-url", &admin, "--ca-file", "/nowhere/ca.pem"]), b"").await;
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.err.contains("`/nowhere/ca.pem` cannot be read"), "{missing:?}");
}
