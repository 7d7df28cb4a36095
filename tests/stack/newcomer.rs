//! What README shows of `make stack`: everything is there, whoever publishes is obeyed by all, and Ctrl-C leaves nothing.

use std::path::Path;

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Stack, TOKEN};
use crate::harness::command::run;
use crate::harness::wait::{SOON, eventually};

/// The publishers of `examples/publish`, with their arguments before namespace and key.
const PUBLISHERS: [(&str, &[&str]); 5] = [
    ("publish.sh", &[]),
    ("publish.py", &["http"]),
    ("publish.py", &["xadd"]),
    ("publish-valkey-cli.sh", &["fcall"]),
    ("publish-valkey-cli.sh", &["xadd"]),
];

#[tokio::test]
async fn everything_is_there_all_instances_obey_and_the_end_leaves_nothing() {
    let mut stack = Stack::start().await;
    let through_the_balancer = stack.get(&stack.balanced("/v1/cache/users/1")).await;
    assert_eq!(through_the_balancer.json(), serde_json::json!({"id": 1, "name": "User 1"}));

    publishers_are_obeyed(&stack).await;
    prometheus_sees_everything(&stack).await;

    let pids = [1, 2, 3].map(|number| stack.pid(number).expect("the instance runs"));
    assert_eq!(stack.interrupt().await, Some(0), "{}", stack.said());
    for port in &stack.ports {
        let open = TcpStream::connect(port.addr()).await.is_ok();
        assert!(!open, "somebody still listens on {}", port.addr());
    }
    for pid in pids {
        assert!(rustix::process::test_kill_process(pid).is_err(), "{pid:?} still runs");
    }
    assert!(!stack.folder.path().join("stack").exists(), "its folder is still there");
}

async fn publishers_are_obeyed(stack: &Stack) {
    let url = format!("postgres://coherd:development@{}/users?sslmode=disable", stack.ports[3].addr());
    let mut database = PgConnection::connect(&url).await.expect("the database takes connections");
    for (turn, (file, way)) in PUBLISHERS.into_iter().enumerate() {
        for number in 1..=3 {
            stack.get(&stack.data(number, "/v1/cache/users/1")).await;
        }
        let change = format!("UPDATE users SET value = '{{\"turn\": {turn}}}' WHERE id = '1'");
        database.execute(AssertSqlSafe(change)).await.expect("the row can be changed");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/publish").join(file);
        let mut command = Command::new(example);
        command
            .args(way)
            .args(["users", "1"])
            .env("COHERD_URL", stack.balanced(""))
            .env("COHERD_TOKEN", TOKEN)
            .env("BACKEND_URL", format!("redis://{}/0", stack.ports[2].addr()))
            .env("BACKEND_PORT", stack.ports[2].number().to_string());
        let ran = run(&mut command, b"").await;
        assert_eq!(ran.code, Some(0), "{file}: {ran:?}");
        for number in 1..=3 {
            let what = format!("coherd-{number} obeys {file} {way:?}");
            eventually(&what, SOON, async || {
                stack.get(&stack.data(number, "/v1/cache/users/1")).await.json()["turn"] == turn
            })
            .await;
        }
    }
}

async fn prometheus_sees_everything(stack: &Stack) {
    let ask = async |path: &str| -> Value {
        stack.get(&format!("http://{}{path}", stack.ports[4].addr())).await.json()
    };
    eventually("Prometheus has asked all of them", SOON, async || {
        let up = ask("/api/v1/query?query=sum(up)%20by%20(job)").await;
        let up = |job: &str| {
            let of = up["data"]["result"].as_array()?.iter().find(|of| of["metric"]["job"] == job)?;
            of["value"][1].as_str().map(str::to_owned)
        };
        up("coherd").as_deref() == Some("3") && up("haproxy").as_deref() == Some("1")
    })
    .await;
    let members = ask("/api/v1/query?query=min(coherd_members%7Bcluster=%22main%22%7D)").await;
    assert_eq!(members["data"]["result"][0]["value"][1], "3", "{members}");
    let rules = ask("/api/v1/rules").await;
    let groups = rules["data"]["groups"].as_array().map_or(0, Vec::len);
    assert!(0 < groups, "no alert rules: {rules}");
}
