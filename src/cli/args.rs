//! Arguments that several commands share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::Base;

/// A text that is never shown: a token, a URL that may hold a password.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    /// The text.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where an instance's data listener is, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Data {
    /// The instance's data listener
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: Base,
    #[command(flatten)]
    pub(super) access: Access,
}

/// Where an instance's admin listener is, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Admin {
    /// The instance's admin listener
    #[arg(long, visible_alias = "url", value_name = "URL", default_value = "http://127.0.0.1:9080")]
    pub(super) admin_url: Base,
    #[command(flatten)]
    pub(super) access: Access,
}

/// Who asks, and whom it believes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Access {
    /// The bearer token; better kept in the variable than on the command line
    #[arg(long, value_name = "TOKEN", env = "COHERD_TOKEN", hide_env_values = true)]
    token: Option<Secret>,
    /// Root certificates that an https listener's has to come from, PEM; without it the system's
    #[arg(long, value_name = "FILE", env = "COHERD_CA_FILE")]
    ca_file: Option<PathBuf>,
}

impl Access {
    /// The file of root certificates; an empty path is none.
    pub(super) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    /// The token; an empty one is none.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(Secret::reveal).filter(|text| !text.is_empty())
    }
}

/// The way past the instances.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Direct {
    /// Straight to Valkey, past the instances: valkey:// and a host, as in backend.url
    #[arg(long, value_name = "URL")]
    pub(super) backend: Option<Secret>,
    /// The cluster's name, with --backend
    #[arg(long, value_name = "NAME", default_value = "main", requires = "backend")]
    pub(super) cluster: String,
    /// What the instances have as backend.shards, with --backend; 0: 1, or 16 on a Cluster
    #[arg(long, value_name = "N", default_value_t = 0, requires = "backend")]
    pub(super) shards: u16,
}

/// A time such as `3s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("it is zero".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
impl Access {
    /// For tests.
    pub(super) fn of(text: &str) -> Self {
        Self { token: Some(Secret::from(text)), ca_file: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_and_an_empty_token_is_none() {
        assert_eq!(format!("{:?}", Access::of("t0ken")), "Access { token: Some(***), ca_file: None }");
        assert_eq!(Access::of("t0ken").token(), Some("t0ken"));
        assert_eq!(Access::of("").token(), None);
    }

    #[test]
    fn a_time_has_a_unit_and_is_not_zero() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("3").is_err() && duration("0s").is_err());
    }
}
