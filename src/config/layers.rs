//! The layers, lowest first: each `-c FILE`, the environment, each `--set`. Defaults are with the keys.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::fault::{Fault, Place};
use super::kind;

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// What begins the variables that are configuration, if they also have `__`: `COHERD_TOKEN` is none.
const PREFIX: &str = "COHERD_";

/// What a configuration is made of. No `Debug`: all of it may hold secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// TOML files, later ones over earlier ones. One that is missing is a fault.
    pub files: Vec<PathBuf>,
    /// `key=value`, over everything.
    pub sets: Vec<String>,
    /// The environment, where `COHERD_BACKEND__URL` and the variables that hold secrets are.
    pub env: Vec<(OsString, OsString)>,
}

impl Sources {
    /// With the environment of this process.
    pub fn with_env(files: Vec<PathBuf>, sets: Vec<String>) -> Self {
        Self { files, sets, env: env::vars_os().collect() }
    }

    /// All layers, one over the other, each value tagged with where it came from.
    pub(super) fn figment(&self, faults: &mut Vec<Fault>) -> Figment {
        let files = self.files.iter().map(|path| file(path));
        let variables = self.variables();
        let settings = variables.iter().filter_map(|(name, value)| variable(name, value));
        let sets = self.sets.iter().enumerate().map(|(index, argument)| set(index, argument));
        let unreadable = self.unreadable().into_iter().map(Err);
        files.chain(unreadable).chain(settings).chain(sets).fold(Figment::new(), |figment, layer| match layer
        {
            Ok(layer) => figment.merge(layer),
            Err(fault) => {
                faults.push(fault);
                figment
            }
        })
    }

    /// The environment, by name.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let text = |(name, value): &(OsString, OsString)| {
            Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))
        };
        self.env.iter().filter_map(text).collect()
    }

    fn unreadable(&self) -> Vec<Fault> {
        let ours = self.env.iter().filter(|(name, _)| is_setting(&name.to_string_lossy()));
        let broken = ours.filter(|(name, value)| name.to_str().is_none() || value.to_str().is_none());
        broken
            .map(|(name, _)| Fault {
                key: String::new(),
                place: Place::Variable(name.to_string_lossy().into_owned()),
                message: "it is not UTF-8".to_owned(),
                accepted: "UTF-8".to_owned(),
            })
            .collect()
    }
}

/// What the layers hold together.
pub(super) fn merged(figment: &Figment) -> Dict {
    // The providers below cannot fail, so neither can what they make together.
    figment.data().ok().and_then(|mut data| data.remove(&Profile::Default)).unwrap_or_default()
}

/// Where a value came from, by the metadata of its layer.
pub(super) fn place(metadata: &Metadata) -> Place {
    match (metadata.name.as_ref(), &metadata.source) {
        (_, Some(Source::File(path))) => Place::File(path.clone()),
        ("variable", Some(Source::Custom(name))) => Place::Variable(name.clone()),
        ("flag", Some(Source::Custom(key))) => Place::Flag(key.clone()),
        _ => Place::Default,
    }
}

/// One file, variable or flag.
struct Layer {
    place: Place,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        match &self.place {
            Place::Default => Metadata::default(),
            Place::File(path) => Metadata::from("file", path.as_path()),
            Place::Variable(name) => Metadata::from("variable", Source::Custom(name.clone())),
            Place::Flag(key) => Metadata::from("flag", Source::Custom(key.clone())),
        }
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

fn file(path: &Path) -> Result<Layer, Fault> {
    let place = Place::File(path.to_owned());
    let fault = |message: String, accepted: &str| Fault {
        key: String::new(),
        place: Place::File(path.to_owned()),
        message,
        accepted: accepted.to_owned(),
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let length =
        read.map_err(|error| fault(format!("it cannot be read: {error}"), "a readable TOML file"))?;
    if FILE_BYTES_MAX < length as u64 {
        return Err(fault("it is too large".to_owned(), "a TOML file of up to 4 MiB"));
    }
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // Only the message: what stands in the line may be a password.
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        fault(format!("{line}{}", error.message()), "TOML")
    })?;
    match Value::serialize(table) {
        Ok(Value::Dict(_, dict)) => Ok(Layer { place, dict }),
        _ => Err(fault("it is not understood".to_owned(), "TOML")),
    }
}

fn is_setting(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("__"))
}

fn variable(name: &str, value: &str) -> Option<Result<Layer, Fault>> {
    if !is_setting(name) {
        return None;
    }
    let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    let parts: Vec<&str> = key.split("__").collect();
    let place = Place::Variable(name.to_owned());
    let accepted = "COHERD_SECTION__KEY, such as COHERD_BACKEND__URL";
    Some(nested(&parts, value).map(|dict| Layer { place: place.clone(), dict }).ok_or_else(|| Fault {
        key: String::new(),
        place,
        message: "its name names no key".to_owned(),
        accepted: accepted.to_owned(),
    }))
}

fn set(index: usize, argument: &str) -> Result<Layer, Fault> {
    let layer = argument.split_once('=').and_then(|(key, value)| {
        let key = key.trim();
        let parts: Vec<&str> = key.split('.').collect();
        Some(Layer { place: Place::Flag(key.to_owned()), dict: nested(&parts, value)? })
    });
    // The argument is not repeated: it may hold a secret in the wrong spelling.
    layer.ok_or_else(|| Fault {
        key: String::new(),
        place: Place::Flag(format!("number {}", index + 1)),
        message: "it is no key=value".to_owned(),
        accepted: "key=value, such as backend.url=valkey://127.0.0.1:6379".to_owned(),
    })
}

/// A table that holds nothing but `value` under the path of `parts`.
fn nested(parts: &[&str], value: &str) -> Option<Dict> {
    const DEPTH_MAX: usize = 16;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if DEPTH_MAX < parts.len() || parts.iter().any(|part| part.is_empty() || !part.chars().all(plain)) {
        return None;
    }
    // A table is taken apart here, so that it adds to those below it like one from a file does.
    let table = value.trim_start().starts_with('{').then(|| kind::toml_value(value)).flatten();
    let value = table.filter(|table| matches!(table, Value::Dict(..))).unwrap_or_else(|| value.into());
    let nested = parts.iter().rev().fold(value, |inner, part| {
        Value::from(std::iter::once(((*part).to_owned(), inner)).collect::<BTreeMap<_, _>>())
    });
    match nested {
        Value::Dict(_, dict) => Some(dict),
        _ => None,
    }
}
