//! The coherd under measurement: `coherd serve`, from the same build, with its defaults but for what is written here.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::cores::Cores;
use crate::fault::Fault;
use crate::plan::SMALL_BYTES;
use crate::process::{Process, free_port, write};

/// How long the admin listener may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything of it fits L1.
pub(crate) const HIT: &str = "hit";
/// The same, with small values that are JSON.
pub(crate) const SMALL: &str = "small";
/// Nothing fits L1.
pub(crate) const L2: &str = "l2";
/// Every key of it is asked for once.
pub(crate) const MISS: &str = "miss";

/// Everything of it fits L1, however much.
pub(crate) const ROOMY: &str = "roomy";
/// Has an L1 of [`TIGHT_MIB`], which is filled beyond.
pub(crate) const TIGHT: &str = "tight";
pub(crate) const TIGHT_MIB: u64 = 128;

/// Its keys say how many bytes their values have; and where nothing fits L1.
pub(crate) const SIZED: &str = "sized";
pub(crate) const SIZED_L2: &str = "sized-l2";
/// Its keys say how many tags their entries have; and where nothing fits L1.
pub(crate) const TAGGED: &str = "tagged";
pub(crate) const TAGGED_L2: &str = "tagged-l2";

/// Every write of it is behind.
pub(crate) const BEHIND: &str = "behind";

/// A running instance.
pub(crate) struct Instance {
    /// The process.
    pub(crate) process: Process,
    /// Its data listener.
    pub(crate) data: SocketAddr,
    /// Its admin listener.
    pub(crate) admin: SocketAddr,
}

impl Instance {
    /// Starts one in front of that Valkey, that origin and that one for writes, and waits until it is ready.
    pub(crate) fn start(
        id: &str,
        dir: &Path,
        valkey: SocketAddr,
        origin: SocketAddr,
        written: Option<SocketAddr>,
        cores: &Cores,
    ) -> Result<Self, Fault> {
        let (data, admin) = (free_port()?, free_port()?);
        // Without compression: the counterparts have none, and the cost of zstd is not coherd's.
        let mut config = format!(
            "[instance]\nid = \"{id}\"\ncluster = \"bench\"\n\
             [server]\nlisten = \"{data}\"\nadmin_listen = \"{admin}\"\n\
             [backend]\nurl = \"valkey://{valkey}/0\"\n\
             [defaults]\nttl = \"1h\"\ncompression = {{ codec = \"none\" }}\n"
        );
        let (small, tight) = (format!("{{key}}?json&bytes={SMALL_BYTES}"), format!("{TIGHT_MIB}MiB"));
        let namespaces = [
            (HIT, "64MiB", "{key}"),
            (SMALL, "64MiB", &small),
            (L2, "0B", "{key}"),
            (MISS, "64MiB", "{key}"),
            (ROOMY, "4GiB", "{key}"),
            (TIGHT, &tight, "{key}"),
            (SIZED, "64MiB", "?bytes={key}"),
            (SIZED_L2, "0B", "?bytes={key}"),
            (TAGGED, "64MiB", "?tags={key}"),
            (TAGGED_L2, "0B", "?tags={key}"),
        ];
        for (namespace, capacity, path) in namespaces {
            write!(
                config,
                "[namespaces.{namespace}]\nl1_capacity = \"{capacity}\"\n\
                 [namespaces.{namespace}.origin]\nkind = \"http\"\n\
                 url = \"http://{origin}/{namespace}/{path}\"\n"
            )?;
        }
        if let Some(addr) = written {
            // It may be closed for longer than an origin usually takes.
            write!(
                config,
                "[namespaces.{BEHIND}]\nwrite = \"behind\"\n[namespaces.{BEHIND}.origin]\nkind = \"http\"\n\
                 url = \"http://{addr}/{BEHIND}/{{key}}\"\ntimeout = \"1m\"\n"
            )?;
        }
        let file = write(dir, &format!("{id}.toml"), &config)?;
        let args = ["serve", "-c", &file.display().to_string()];
        let process = Process::start(id, Path::new(env!("CARGO_BIN_EXE_coherd")), &args, dir, cores)?;
        let instance = Self { process, data, admin };
        instance.process.until("ready", || instance.is_ready())?;
        Ok(instance)
    }

    fn is_ready(&self) -> bool {
        self.admin("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The number of the last event that it has applied.
    pub(crate) fn cursor(&self) -> Result<u64, Fault> {
        let page = self.admin("/stats")?;
        let (_, body) = page.split_once("\r\n\r\n").ok_or("a page without a body")?;
        let stats: serde_json::Value = serde_json::from_str(body)?;
        let cursor = stats["log"]["cursor"].as_str().ok_or("no cursor")?;
        Ok(cursor.split('-').next().unwrap_or_default().parse()?)
    }

    /// A page of the admin listener, header and all.
    fn admin(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }
}
