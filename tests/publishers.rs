//! The publishers of `examples/publish`, run as they are: what they say is obeyed.

use std::env;
use std::path::Path;

use tokio::process::Command;

use crate::harness::command::{Ran, run};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::wait::{SOON, eventually};

const LOG: &str = "coherd:{main}:log";

/// Keys that a careless publisher would spoil on the way.
const KEYS: [&str; 3] = ["plain", "a b/\"quoted\"\\back", "größe:42'$(x)"];

/// An example, with those arguments, beside the variables that say where everything is.
async fn publisher(cluster: &Cluster, programs: &[&str], file: &str, arguments: &[&str]) -> Ran {
    for program in programs {
        let path = env::var_os("PATH").unwrap_or_default();
        let there =
            program.split('|').any(|name| env::split_paths(&path).any(|dir| dir.join(name).is_file()));
        assert!(
            there,
            "examples/publish/{file} needs `{program}` on the PATH; `make test` installs it where it can"
        );
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/publish").join(file);
    let server = cluster.server.addr();
    let mut command = Command::new(example);
    command
        .args(arguments)
        .env("COHERD_URL", cluster.instance(0).url(""))
        .env_remove("COHERD_TOKEN")
        .env("BACKEND_URL", format!("redis://{server}/0"))
        .env("BACKEND_HOST", server.ip().to_string())
        .env("BACKEND_PORT", server.port().to_string());
    run(&mut command, b"").await
}

/// The version that an instance answers with.
async fn version(cluster: &Cluster, number: usize, key: &str) -> serde_json::Value {
    let path = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
    cluster.instance(number).get(NAMESPACE, &path).send().await.json()["version"].clone()
}

/// Every key is read anew by both instances once the example has named it, and the log says who did.
async fn is_obeyed(programs: &[&str], file: &str, way: Option<&str>, prints_log_id: bool) {
    let cluster = Cluster::with(Setup::new(2).namespace("ttl", "1h")).await;
    for key in KEYS {
        cluster.origin.set(key, 1);
        for number in [0, 1] {
            assert_eq!(version(&cluster, number, key).await, 1);
        }
        cluster.origin.set(key, 2);
        let arguments: Vec<&str> = way.into_iter().chain([NAMESPACE, key]).collect();
        let ran = publisher(&cluster, programs, file, &arguments).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        for number in [0, 1] {
            let what = format!("instance {number} obeys {file} for `{key}`");
            eventually(&what, SOON, async || version(&cluster, number, key).await == 2).await;
        }
        let last = cluster.server.command(&["XREVRANGE", LOG, "+", "-", "COUNT", "1"]).await;
        let entry = last.items()[0].items();
        let fields: Vec<String> = entry[1].items().iter().map(crate::harness::resp::Reply::text).collect();
        let field = |name: &str| fields.chunks(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_str());
        assert_eq!((field("key"), field("src")), (Some(key), Some(file)));
        assert_eq!(ran.out.trim() == entry[0].text(), prints_log_id, "{ran:?}");
    }
    let arguments: Vec<&str> = way.into_iter().chain([NAMESPACE, ""]).collect();
    let refused = publisher(&cluster, programs, file, &arguments).await;
    // Into the inbox anything can be put; every other way tells its publisher.
    assert_eq!(refused.code == Some(0), way == Some("xadd"), "{refused:?}");
    assert!(!refused.err.is_empty() || !refused.out.is_empty(), "{refused:?}");
}

#[tokio::test]
async fn curl() {
    is_obeyed(&["sh", "curl", "sed"], "publish.sh", None, true).await;
}

#[tokio::test]
async fn valkey_cli_by_function() {
    is_obeyed(&["sh", "valkey-cli|redis-cli"], "publish-valkey-cli.sh", Some("fcall"), true).await;
}

#[tokio::test]
async fn valkey_cli_by_inbox() {
    is_obeyed(&["sh", "valkey-cli|redis-cli"], "publish-valkey-cli.sh", Some("xadd"), false).await;
}

#[tokio::test]
async fn python_over_http() {
    is_obeyed(&["python3"], "publish.py", Some("http"), true).await;
}

#[tokio::test]
async fn python_by_inbox() {
    is_obeyed(&["python3"], "publish.py", Some("xadd"), false).await;
}

#[tokio::test]
async fn node() {
    is_obeyed(&["node"], "publish.mjs", None, true).await;
}

#[tokio::test]
async fn a_publisher_says_it_again_until_the_log_can_be_reached_and_it_is_logged_once() {
    for (programs, file, way) in [
        (&["sh", "curl", "sed"][..], "publish.sh", None),
        (&["python3"], "publish.py", Some("http")),
        (&["node"], "publish.mjs", None),
    ] {
        let cluster = Cluster::with(Setup::new(1).set("backend.command_timeout", "300ms")).await;
        cluster.wire(0).cut().await;
        let arguments: Vec<&str> = way.into_iter().chain([NAMESPACE, "k"]).collect();
        let publishing = publisher(&cluster, programs, file, &arguments);
        let refused = async {
            let series = "coherd_backend_errors_total{op=\"publish\"}";
            let failed = async || cluster.instance(0).metric(series).await.is_some_and(|count| 1.0 <= count);
            eventually("the first attempt is refused", SOON, failed).await;
            cluster.wire(0).restore().await;
        };
        let (ran, ()) = futures_util::future::join(publishing, refused).await;
        assert_eq!(ran.code, Some(0), "{file}: {ran:?}");
        assert_eq!(cluster.server.command(&["XLEN", LOG]).await.integer(), 1, "{file}");
    }
}
