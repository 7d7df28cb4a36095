//! The Valkey or Redis of a run: on its own port, with nothing on disk.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cores::Cores;
use crate::fault::Fault;
use crate::process::{Process, free_port};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running server.
pub(crate) struct Valkey {
    /// The process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

impl Valkey {
    /// Starts one and waits until it answers.
    pub(crate) fn start(dir: &Path, cores: &Cores) -> Result<Self, Fault> {
        let addr = free_port()?;
        let (port, folder) = (addr.port().to_string(), dir.display().to_string());
        let args =
            ["--port", &port, "--bind", "127.0.0.1", "--dir", &folder, "--save", "", "--appendonly", "no"];
        let process = Process::start("valkey", &program()?, &args, dir, cores)?;
        let valkey = Self { process, addr };
        valkey.process.until("answering", || valkey.info("server").is_ok())?;
        Ok(valkey)
    }

    /// Its program and version, such as `Valkey 8.0.1`.
    pub(crate) fn version(&self) -> Result<String, Fault> {
        let info = self.info("server")?;
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Ok(match (field("valkey_version:"), field("redis_version:")) {
            (Some(version), _) => format!("Valkey {version}"),
            (None, Some(version)) => format!("Redis {version}"),
            (None, None) => "a server without a version".to_owned(),
        })
    }

    fn info(&self, section: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("INFO {section}\r\nQUIT\r\n").as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

/// `$VALKEY_SERVER`, else `valkey-server`, else `redis-server` on the `PATH`.
fn program() -> Result<PathBuf, Fault> {
    if let Some(named) = env::var_os("VALKEY_SERVER") {
        return Ok(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = ["valkey-server", "redis-server"]
        .iter()
        .find_map(|name| env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file()));
    found.ok_or_else(|| "no valkey-server or redis-server on the PATH, and no VALKEY_SERVER".into())
}
