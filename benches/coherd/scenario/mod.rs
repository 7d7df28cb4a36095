//! The paths that are measured, and the stage they share.

pub(crate) mod applied;
mod bulk;
mod drain;
mod fanout;
mod heartbeats;
mod hit;
mod idle;
pub(crate) mod inside;
mod l2;
pub(crate) mod memory;
mod miss;
mod propagation;
mod publish;
mod start;
mod writes;

use std::env;
use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::cores::Cores;
use crate::driver::{Expected, Generator, Register};
use crate::fault::Fault;
use crate::instance::{HIT, Instance};
use crate::measure::Requests;
use crate::plan::{CONNECTIONS, Plan};
use crate::process::{Process, free_port};
use crate::reference::Kind;
use crate::report::Table;
use crate::valkey::Valkey;

/// One path.
pub(crate) struct Scenario {
    /// As `BENCH_ONLY` calls it.
    pub(crate) name: &'static str,
    /// Measures it.
    pub(crate) measure: fn(&Stage) -> Result<Table, Fault>,
}

/// Every path, in the order of the report.
pub(crate) const ALL: [Scenario; 17] = [
    Scenario { name: "l1", measure: hit::measure },
    Scenario { name: "crowd", measure: hit::crowd },
    Scenario { name: "bulk", measure: bulk::usual },
    Scenario { name: "bulk-small", measure: bulk::small },
    Scenario { name: "l2", measure: l2::measure },
    Scenario { name: "miss", measure: miss::measure },
    Scenario { name: "applied", measure: applied::measure },
    Scenario { name: "propagation", measure: propagation::measure },
    Scenario { name: "publish", measure: publish::measure },
    Scenario { name: "fanout", measure: fanout::measure },
    Scenario { name: "drain", measure: drain::measure },
    Scenario { name: "heartbeats", measure: heartbeats::measure },
    Scenario { name: "writes", measure: writes::measure },
    Scenario { name: "inside", measure: inside::measure },
    Scenario { name: "memory", measure: memory::measure },
    Scenario { name: "start", measure: start::measure },
    Scenario { name: "idle", measure: idle::measure },
];

/// What all paths stand on. Processes end when it is dropped.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) cores: Cores,
    pub(crate) valkey: Valkey,
    origin: Reference,
    /// The origin of writes.
    register: Register,
    pub(crate) instance: Instance,
    // After the processes that write there.
    dir: TempDir,
}

/// A bare counterpart at work.
pub(crate) struct Reference {
    pub(crate) process: Process,
    pub(crate) addr: SocketAddr,
}

impl Stage {
    /// Starts Valkey, the origins and one instance.
    pub(crate) fn set(plan: Plan) -> Result<Self, Fault> {
        let (cores, dir) = (Cores::split()?, tempfile::tempdir()?);
        let valkey = Valkey::start(dir.path(), &cores)?;
        let origin = Reference::start("origin", Kind::Memory, dir.path(), &cores, valkey.addr, valkey.addr)?;
        let register = Register::start()?;
        let written = Some(register.addr);
        let instance = Instance::start("inst-1", dir.path(), valkey.addr, origin.addr, written, &cores)?;
        Ok(Self { plan, cores, valkey, origin, register, instance, dir })
    }

    pub(crate) fn reference(&self, name: &str, kind: Kind) -> Result<Reference, Fault> {
        self.reference_before(name, kind, self.origin.addr)
    }

    fn reference_before(&self, name: &str, kind: Kind, origin: SocketAddr) -> Result<Reference, Fault> {
        Reference::start(name, kind, self.dir.path(), &self.cores, self.valkey.addr, origin)
    }

    pub(crate) fn another_instance(&self, id: &str) -> Result<Instance, Fault> {
        self.instance_on(id, &self.cores)
    }

    /// An instance on the generator's core, for when that has nothing to do.
    fn instance_beside_generator(&self, id: &str) -> Result<Instance, Fault> {
        self.instance_on(id, &self.cores.beside_generator())
    }

    /// An instance before another Valkey.
    fn instance_at(&self, id: &str, valkey: SocketAddr) -> Result<Instance, Fault> {
        Instance::start(id, self.dir.path(), valkey, self.origin.addr, None, &self.cores)
    }

    fn instance_on(&self, id: &str, cores: &Cores) -> Result<Instance, Fault> {
        Instance::start(id, self.dir.path(), self.valkey.addr, self.origin.addr, None, cores)
    }
}

impl Reference {
    fn start(
        name: &str,
        kind: Kind,
        dir: &Path,
        cores: &Cores,
        valkey: SocketAddr,
        origin: SocketAddr,
    ) -> Result<Self, Fault> {
        let addr = free_port()?;
        let args = ["reference", kind.name(), &addr.to_string(), &valkey.to_string(), &origin.to_string()];
        let process = Process::start(name, &env::current_exe()?, &args, dir, cores)?;
        process.until("listening", || std::net::TcpStream::connect(addr).is_ok())?;
        Ok(Self { process, addr })
    }
}

/// Keep-alive connections to a side; `tier` is what `Cache-Status` is to hold.
pub(crate) fn connect(addr: SocketAddr, tier: Option<&'static str>) -> Result<Generator, Fault> {
    connect_by(CONNECTIONS, addr, tier)
}

/// So many of them.
fn connect_by(connections: usize, addr: SocketAddr, tier: Option<&'static str>) -> Result<Generator, Fault> {
    Ok(Generator::open(addr, connections, Expected { status: 200, tier })?)
}

/// Keep-alive connections to a side that answers like that.
pub(crate) fn connect_to(addr: SocketAddr, expected: Expected) -> Result<Generator, Fault> {
    Ok(Generator::open(addr, CONNECTIONS, expected)?)
}

/// Writes requests for the keys of a namespace, 0 to `keys` - 1 and again.
fn around(namespace: &str, keys: u64) -> Requests<'static> {
    let mut number = 0;
    let namespace = namespace.to_owned();
    Box::new(move |request| {
        get(request, &namespace, number % keys);
        number += 1;
    })
}

/// Writes requests for `count` keys at once, of keys 0 to `keys` - 1 and again.
fn at_once(namespace: &str, count: u64, keys: u64) -> Requests<'static> {
    let (mut first, namespace) = (0, namespace.to_owned());
    Box::new(move |request| {
        let asked: Vec<String> = (first..first + count).map(|number| format!("k{number}")).collect();
        let text =
            format!("GET /v1/cache/{namespace}?keys={} HTTP/1.1\r\nHost: bench\r\n\r\n", asked.join(","));
        request.extend_from_slice(text.as_bytes());
        first = (first + count) % keys;
    })
}

/// Writes requests that each publish an event for a key of its own.
pub(crate) fn events(prefix: &'static str) -> Requests<'static> {
    let mut number = 0_u64;
    Box::new(move |request| {
        request.extend_from_slice(event(&format!("{prefix}{number}")).as_bytes());
        number += 1;
    })
}

/// A request that publishes an event for a key.
fn event(key: &str) -> String {
    let body = format!("{{\"namespace\":\"{HIT}\",\"keys\":[\"{key}\"]}}");
    let length = body.len();
    format!(
        "POST /v1/invalidate HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Writes a request for a key.
fn get(request: &mut Vec<u8>, namespace: &str, number: u64) {
    let text = format!("GET /v1/cache/{namespace}/k{number} HTTP/1.1\r\nHost: bench\r\n\r\n");
    request.extend_from_slice(text.as_bytes());
}
