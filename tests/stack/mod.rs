//! What stands around the instances: `scripts/stack` as it is, the balancer in front, and the files for other places.

mod files;
mod lame_duck;
mod load;
mod losing;
mod newcomer;

use std::env;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::http::{Client, Response};
use crate::harness::instance::coherd;
use crate::harness::ports::Port;
use crate::harness::process::Process;
use crate::harness::wait::{SOON, eventually};

/// The token of the stack under test.
const TOKEN: &str = "a-token-of-this-test";
/// How long it may take to make a database and to start eight processes, on a machine that is busy.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end: the instances' grace, and what is made of it.
const END: Duration = Duration::from_secs(60);
/// Each of them, and the package that brings it.
const PROGRAMS: [(&str, &str); 4] = [
    ("haproxy", "haproxy"),
    ("prometheus", "prometheus"),
    ("curl", "curl"),
    ("valkey-server|redis-server", "valkey-server or redis-server"),
];

/// `scripts/stack`, with ports and a folder of its own.
struct Stack {
    // Before the folder: it removes what is in there.
    process: Process,
    folder: TempDir,
    ports: Vec<Port>,
    client: Client,
}

impl Stack {
    /// Starts it, and waits until it says that it is ready.
    async fn start() -> Self {
        for (program, package) in PROGRAMS {
            assert!(
                is_there(program),
                "the stack needs `{program}`, of the package {package}: `make test` installs it"
            );
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        open_to_all(folder.path());
        // The balancer, its statistics, Valkey, PostgreSQL, Prometheus, three data and three admin listeners.
        let ports = Vec::from(Port::reserve_at([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        let number = |at: usize| ports[at].number().to_string();
        let program = coherd().as_std().get_program().to_owned();
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stack"));
        // A developer's own settings are no part of the test.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COHERD_")) {
            command.env_remove(name);
        }
        command
            .env("COHERD_BINARY", program)
            .env("COHERD_TOKEN", TOKEN)
            .env("STACK_DIR", folder.path().join("stack"))
            .env("BALANCER_PORT", number(0))
            .env("STATISTICS_PORT", number(1))
            .env("VALKEY_PORT", number(2))
            .env("POSTGRES_PORT", number(3))
            .env("PROMETHEUS_PORT", number(4))
            .env("DATA_PORT", number(5))
            .env("ADMIN_PORT", number(8));
        let process = Process::spawn("stack", &mut command, &folder.path().join("stack.log"));
        let mut stack = Self { process, folder, ports, client: Client::new() };
        eventually("the stack is ready", START, async || {
            assert!(!stack.process.ended(), "the stack has ended");
            stack.said().contains("Ctrl-C ends all of it")
        })
        .await;
        stack
    }

    /// What it has printed.
    fn said(&self) -> String {
        self.process.output()
    }

    /// A URL behind the balancer.
    fn balanced(&self, path: &str) -> String {
        format!("http://{}{path}", self.ports[0].addr())
    }

    /// A URL of an instance's data listener, 1 to 3.
    fn data(&self, number: usize, path: &str) -> String {
        format!("http://{}{path}", self.ports[4 + number].addr())
    }

    /// A URL of an instance's admin listener, 1 to 3.
    fn admin(&self, number: usize, path: &str) -> String {
        format!("http://{}{path}", self.ports[7 + number].addr())
    }

    /// `GET`, with the token.
    async fn get(&self, url: &str) -> Response {
        self.client.get(url).header("authorization", &format!("Bearer {TOKEN}")).send().await
    }

    /// The process of an instance, 1 to 3; `None` while there is none.
    fn pid(&self, number: usize) -> Option<Pid> {
        let file = self.folder.path().join(format!("stack/coherd-{number}.pid"));
        let text = std::fs::read_to_string(file).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Sends a signal to an instance, and waits until it has ended with that code and another is ready in its place.
    async fn replace(&self, number: usize, signal: Signal, code: i32) {
        let before = self.pid(number).expect("the instance runs");
        let line = format!("coherd-{number} ended with {code}, and is started again");
        let ended = self.said().matches(&line).count();
        kill_process(before, signal).expect("the instance takes a signal");
        let what = format!("coherd-{number} ends with {code}");
        eventually(&what, SOON, async || ended < self.said().matches(&line).count()).await;
        eventually("another is ready in its place", SOON, async || {
            let ready = self.client.get(&self.admin(number, "/readyz")).try_send().await;
            ready.is_ok_and(|answer| answer.status == 200)
                && self.pid(number).is_some_and(|now| now != before)
        })
        .await;
    }

    /// Waits until the balancer sends an instance requests again: until then the stack can lose one fewer.
    async fn taken_in(&self, number: usize) {
        let statistics = format!("http://{}/;csv", self.ports[1].addr());
        let server = format!("instances,coherd-{number},");
        eventually("the balancer has it in again", SOON, async || {
            let said = self.client.get(&statistics).send().await.text();
            let line = said.lines().find(|line| line.starts_with(&server)).expect("the balancer has it");
            line.split(',').any(|field| field == "UP")
        })
        .await;
    }

    /// Ctrl-C, and waits until it has ended. Answers with the exit code.
    async fn interrupt(&mut self) -> Option<i32> {
        self.process.signal(Signal::INT);
        self.process.exit(END).await.code()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Killed, it would leave what it has started.
        self.process.signal(Signal::TERM);
        for _ in 0..END.as_millis() / 10 {
            if self.process.ended() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// One of these is on the PATH, or where the system's own programs are.
fn is_there(programs: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    let folders: Vec<_> = env::split_paths(&path).chain(system).collect();
    programs.split('|').any(|name| folders.iter().any(|folder| folder.join(name).is_file()))
}

/// PostgreSQL runs as another user where the tests run as root, and has its data below.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, mode).expect("the mode of a folder of one's own can be set");
}
