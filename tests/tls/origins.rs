//! An origin behind TLS whose certificate comes from an authority of its operator's own.

use super::alone;
use crate::harness::certificates::Authority;
use crate::harness::instance::{Config, Instance};

#[tokio::test]
async fn an_origin_is_believed_by_the_authority_that_its_namespace_names() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    // Another instance is as good an origin as any.
    let origin = Instance::start(alone(&authority.issue(folder.path()), &authority)).await;
    assert_eq!(origin.put("aside", "k", "value").send().await.status, 200);
    let url = origin.url("/v1/cache/aside/{key}");
    let ca_file = authority.file().to_str().expect("a path of the tests is text").to_owned();
    let config =
        Config::new("inst-1", "valkey://unused").without("backend.url").set("backend.kind", "memory");
    let config = config.namespace("known", &url).set("namespaces.known.origin.ca_file", ca_file);
    let instance = Instance::start(config.namespace("unknown", &url)).await;

    let known = instance.get("known", "k").send().await;
    assert_eq!((known.status, known.text().as_str()), (200, "value"), "{known:?}");
    let unknown = instance.get("unknown", "k").send().await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (502, &serde_json::json!("origin_failed")));
}
