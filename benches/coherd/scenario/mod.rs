//! The paths that are measured, and the stage they share.

pub(crate) mod guards;
mod hit;
pub(crate) mod inside;
mod l2;
mod miss;
mod propagation;
mod writes;

use std::env;
use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::cores::Cores;
use crate::driver::{Expected, Generator, Register};
use crate::fault::Fault;
use crate::instance::Instance;
use crate::measure::Requests;
use crate::plan::{CONNECTIONS, Plan};
use crate::process::{Process, free_port};
use crate::reference::Kind;
use crate::report::Table;
use crate::valkey::Valkey;

/// Measures one path.
type Scenario = fn(&Stage) -> Result<Table, Fault>;

/// Every path, in the order of the report.
pub(crate) const ALL: [Scenario; 8] = [
    hit::measure,
    hit::crowd,
    l2::measure,
    miss::measure,
    propagation::measure,
    writes::measure,
    inside::measure,
    guards::measure,
];

/// What all paths stand on. Processes end when it is dropped.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) cores: Cores,
    pub(crate) valkey: Valkey,
    origin: Reference,
    /// The origin of writes.
    register: Register,
    instance: Instance,
    // After the processes that write there.
    dir: TempDir,
}

/// A bare counterpart at work.
struct Reference {
    process: Process,
    addr: SocketAddr,
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

    fn reference(&self, name: &str, kind: Kind) -> Result<Reference, Fault> {
        self.reference_before(name, kind, self.origin.addr)
    }

    fn reference_before(&self, name: &str, kind: Kind, origin: SocketAddr) -> Result<Reference, Fault> {
        Reference::start(name, kind, self.dir.path(), &self.cores, self.valkey.addr, origin)
    }

    fn another_instance(&self, id: &str) -> Result<Instance, Fault> {
        Instance::start(id, self.dir.path(), self.valkey.addr, self.origin.addr, None, &self.cores)
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
fn connect(addr: SocketAddr, tier: Option<&'static str>) -> Result<Generator, Fault> {
    connect_by(CONNECTIONS, addr, tier)
}

/// So many of them.
fn connect_by(connections: usize, addr: SocketAddr, tier: Option<&'static str>) -> Result<Generator, Fault> {
    Ok(Generator::open(addr, connections, Expected { status: 200, tier })?)
}

/// Keep-alive connections to a side that answers like that.
fn connect_to(addr: SocketAddr, expected: Expected) -> Result<Generator, Fault> {
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

/// Writes a request for a key.
fn get(request: &mut Vec<u8>, namespace: &str, number: u64) {
    let text = format!("GET /v1/cache/{namespace}/k{number} HTTP/1.1\r\nHost: bench\r\n\r\n");
    request.extend_from_slice(text.as_bytes());
}
