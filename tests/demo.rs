//! `coherd demo` as a process: its steps show what they say, it cleans up, and a port that is taken is named.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::http::Client;
use crate::harness::ports::Port;
use crate::harness::process::Process;
use crate::harness::wait::eventually;

/// A tour takes seconds; on a machine that is busy, many.
const TOUR_MAX: Duration = Duration::from_secs(90);
/// Where a demo of three instances listens, from its first port on.
const PLACES: [u16; 6] = [0, 1, 2, 1000, 1001, 1002];

/// A demo, with a temporary folder and ports of its own.
struct Demo {
    // Before the folder: it goes on writing there until it is gone.
    process: Process,
    dir: TempDir,
    ports: [Port; 6],
}

impl Demo {
    fn start(ports: [Port; 6], once: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let temporary = dir.path().join("tmp");
        fs::create_dir(&temporary).expect("a folder can be made in it");
        let mut command = Command::new(env!("CARGO_BIN_EXE_coherd"));
        command.args(["demo", "--port", &ports[0].number().to_string()]).env("TMPDIR", temporary);
        // It has no say, not even where it makes no sense.
        command.env("COHERD_BACKEND__URL", "valkey://127.0.0.1:1").env_remove("COHERD_LOG__LEVEL");
        if once {
            command.arg("--once");
        }
        let process = Process::spawn("coherd demo", &mut command, &dir.path().join("output.log"));
        Self { process, dir, ports }
    }

    /// Nothing of it is left.
    fn assert_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.dir.path().join("tmp")).expect("it can be read").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn every_step_of_the_tour_shows_what_it_says() {
    let mut demo = Demo::start(Port::reserve_at(PLACES), true);
    let status = demo.process.exit(TOUR_MAX).await;
    let output = demo.process.output();
    assert_eq!(status.code(), Some(0), "{output}");

    let mut steps = output.split("\n\n").skip(1);
    for (title, shown) in [
        ("1  A miss", vec!["demo-1 ", "fwd=miss; stored; detail=origin"]),
        ("2  An L2 hit", vec!["demo-2 ", "detail=l2"]),
        ("3  An L1 hit", vec!["demo-2 ", "detail=l1"]),
        (
            "4  A change",
            vec!["applied by demo-1, demo-2, demo-3", "demo-1 ", "demo-2 ", "demo-3 ", "\"Ada\""],
        ),
        ("5  A stampede", vec!["200 on 3 instances", "1 SELECT", "1 loaded it"]),
        ("6  A soft purge", vec!["detail=stale", "one SELECT had refreshed it", "\"Edsger\""]),
        ("7  A late fill", vec!["\"old\"", "refused", "\"new\""]),
        ("8  A write behind", vec!["202", "detail=pending-write", "drained", "\"Barbara\""]),
    ] {
        let step = steps.next().unwrap_or_default();
        assert!(step.starts_with(title), "`{title}` is not where it should be in\n{output}");
        for text in shown {
            assert!(step.contains(text), "`{text}` is not in\n{step}");
        }
        assert!(
            step.contains(" ms  ") && step.contains("\n   $ curl "),
            "no time, or nothing to try, in\n{step}"
        );
    }
    assert_eq!(steps.next().unwrap_or_default(), "All 8 steps showed what they say.\n", "{output}");
    assert!(!output.contains('\x1b'), "it needs no terminal");
    demo.assert_clean();
}

#[tokio::test]
async fn after_the_tour_it_serves_until_it_is_told_to_stop() {
    let mut demo = Demo::start(Port::reserve_at(PLACES), false);
    eventually("the tour ends", TOUR_MAX, async || demo.process.output().contains("until Ctrl-C")).await;
    let client = Client::new();
    for (port, path) in
        demo.ports.iter().zip(["/v1/cache/users/7"; 3].into_iter().chain(["/", "/stats", "/"]))
    {
        let answer = client.get(&format!("http://{}{path}", port.addr())).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    demo.process.signal(Signal::TERM);
    let status = demo.process.exit(TOUR_MAX).await;
    assert_eq!(status.code(), Some(0), "{}", demo.process.output());
    demo.assert_clean();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    for place in [1, 5] {
        let ports = Port::reserve_at(PLACES);
        let taken = ports[place].addr();
        let _other = TcpListener::bind(taken).expect("a reserved port is free");
        let mut demo = Demo::start(ports, true);
        let status = demo.process.exit(TOUR_MAX).await;
        let output = demo.process.output();
        assert_eq!(status.code(), Some(1), "{output}");
        let named = format!("coherd: port {} is taken by another program; ", taken.port());
        assert!(output.starts_with(&named) && output.lines().count() == 1, "{output}");
        demo.assert_clean();
    }
}
