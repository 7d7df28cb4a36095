//! `coherd sql`: what a database needs to say by itself what changes in it.

use super::entry;
use super::exit::{Exit, Fault};
use super::print::Print;
use crate::config::SqlTable;
use crate::feeds::postgres::{self, Template, Triggers};
use crate::model::Namespace;

/// What to print.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  coherd sql triggers --table users --key id --namespace users --tag 'team:{team_id}' | psql shop"
)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Print the SQL that has PostgreSQL publish what changes in a table
    Triggers(TriggersArgs),
}

/// Which table feeds which namespace.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Names are read as PostgreSQL reads them: what is not in double quotes is folded to lower case; a table \
                        without a schema is one of `public`.\n\n\
                        Example:\n  coherd sql triggers --table users --key id --namespace users --tag 'team:{team_id}' | psql shop\n  \
                        coherd sql triggers --table users --namespace users --drop | psql shop"
)]
struct TriggersArgs {
    /// The table
    #[arg(long, value_name = "TABLE", required_unless_present = "drop")]
    table: Option<SqlTable>,
    /// What a row is cached as: a column, or a text with columns in braces such as {tenant}/{id}
    #[arg(long, value_name = "COLUMN|TEMPLATE", required_unless_present = "drop", conflicts_with = "drop")]
    key: Option<Template>,
    /// Where
    #[arg(long, value_name = "NS", value_parser = entry::namespace, required_unless_present = "drop", requires = "table")]
    namespace: Option<Namespace>,
    /// A tag of what changes with a row: a text with columns in braces; once for each
    #[arg(long = "tag", value_name = "TEMPLATE", value_parser = Template::text, conflicts_with = "drop")]
    tags: Vec<Template>,
    /// The table where events wait to be read
    #[arg(long, value_name = "TABLE", default_value = "coherd_outbox")]
    outbox: SqlTable,
    /// The channel by which readers are told
    #[arg(long, value_name = "NAME", default_value = "coherd", value_parser = channel)]
    channel: String,
    /// Print the SQL that takes the table's triggers away again; without a table, the outbox and all that fill it
    #[arg(long)]
    drop: bool,
}

/// Prints it.
pub(super) fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    let What::Triggers(TriggersArgs { table, key, namespace, tags, outbox, channel, drop }) = args.what;
    let sql = match (table, namespace, key) {
        (Some(table), Some(namespace), Some(key)) if !drop => {
            Triggers { table, namespace, key, tags, outbox, channel }.to_string()
        }
        (Some(table), Some(namespace), _) => postgres::remove(&table, &namespace, &outbox),
        (Some(_), None, _) => {
            return Err(Fault::usage("--drop of a table's triggers needs their --namespace"));
        }
        (None, ..) => postgres::remove_all(&outbox),
    };
    print.bytes(format!("{sql}\n").as_bytes())?;
    Ok(Exit::Done)
}

fn channel(text: &str) -> Result<String, &'static str> {
    let fits = (1..=63).contains(&text.len()) && !text.contains(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("a channel has 1 to 63 bytes") }
}
