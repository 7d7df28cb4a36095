//! The SQL that makes a table say what changes in it: the outbox, and the triggers that fill it within the transaction of the
//! change. Every statement may be run again.

use std::collections::BTreeSet;
use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use super::template::{Template, literal};
use crate::config::{SqlTable as Table, sql_quoted as quoted};
use crate::model::{KEY_BYTES_MAX, Namespace, TAG_BYTES_MAX};

/// A table that feeds a namespace.
#[derive(Clone, Debug)]
pub struct Triggers {
    /// The table.
    pub table: Table,
    /// Where its rows are cached.
    pub namespace: Namespace,
    /// What a row is cached as.
    pub key: Template,
    /// What else changes with a row.
    pub tags: Vec<Template>,
    /// Where events wait.
    pub outbox: Table,
    /// Where readers are told.
    pub channel: String,
}

/// The SQL that sets it up, in one transaction.
impl fmt::Display for Triggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, namespace, outbox, .. } = self;
        let [row, truncate] = trigger_names(table, namespace, outbox);
        let function = function(table, namespace, outbox);
        let setup = [
            format!(
                "-- What changes in {table} is an event of namespace {}, from the commit on.",
                &**namespace
            ),
            "BEGIN;\n".to_owned(),
            self.outbox(),
            self.columns_exist(),
            format!(
                "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql\n\
                 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {};",
                body(&self.on_change())
            ),
            format!("REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;"),
            format!("COMMENT ON FUNCTION {function}() IS {};\n", literal(&mark(outbox))),
            format!("DROP TRIGGER IF EXISTS {row} ON {table};"),
            format!("CREATE TRIGGER {row} AFTER INSERT OR UPDATE OR DELETE ON {table}"),
            format!("    FOR EACH ROW EXECUTE FUNCTION {function}();"),
            format!("DROP TRIGGER IF EXISTS {truncate} ON {table};"),
            format!("CREATE TRIGGER {truncate} AFTER TRUNCATE ON {table}"),
            format!("    FOR EACH STATEMENT EXECUTE FUNCTION {function}();\n"),
            "COMMIT;".to_owned(),
        ];
        f.write_str(&setup.join("\n"))
    }
}

impl Triggers {
    /// The table of events, and the notice of what is put into it.
    fn outbox(&self) -> String {
        let outbox = &self.outbox;
        let function = notifier(outbox);
        let channel = literal(&self.channel);
        let notify = body(&format!("BEGIN\n    PERFORM pg_notify({channel}, '');\n    RETURN NULL;\nEND"));
        let mark = literal(&mark(outbox));
        format!(
            "CREATE TABLE IF NOT EXISTS {outbox} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id uuid NOT NULL DEFAULT gen_random_uuid(),
    event jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS {notify};
COMMENT ON FUNCTION {function}() IS {mark};
DROP TRIGGER IF EXISTS coherd_notify ON {outbox};
CREATE TRIGGER coherd_notify AFTER INSERT ON {outbox}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();
"
        )
    }

    /// A column that is missing is found now, not when the table is written next.
    fn columns_exist(&self) -> String {
        let columns: BTreeSet<&str> =
            std::iter::once(&self.key).chain(&self.tags).flat_map(Template::columns).collect();
        let columns: Vec<String> = columns.into_iter().map(quoted).collect();
        let look = format!("BEGIN\n    PERFORM {} FROM {} LIMIT 0;\nEND", columns.join(", "), self.table);
        format!("DO {};\n", body(&look))
    }

    /// What can be no key or tag is left out: no value is cached under it, and one such name would have the whole event
    /// refused.
    fn on_change(&self) -> String {
        let Self { table, outbox, namespace, .. } = self;
        let (namespace, source) = (literal(namespace), "'source', 'postgres'");
        let reason = literal(&format!(" {}.{}", table.schema(), table.name()));
        let (old, new) = (self.names_of("OLD"), self.names_of("NEW"));
        format!(
            r#"DECLARE
    keys text[] := '{{}}';
    tags text[] := '{{}}';
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO {outbox} (event) VALUES (jsonb_build_object(
            'namespace', {namespace}, 'all', true, {source}, 'reason', TG_OP || {reason}));
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
{old}
    END IF;
    IF TG_OP <> 'DELETE' THEN
{new}
    END IF;
    keys := ARRAY(SELECT DISTINCT k FROM unnest(keys) AS k
        WHERE octet_length(convert_to(k, 'UTF8')) BETWEEN 1 AND {KEY_BYTES_MAX} ORDER BY k);
    tags := ARRAY(SELECT DISTINCT t FROM unnest(tags) AS t
        WHERE octet_length(t) <= {TAG_BYTES_MAX} AND t COLLATE "C" ~ '^[!-+.-~-]+$' ORDER BY t);
    IF keys <> '{{}}' OR tags <> '{{}}' THEN
        INSERT INTO {outbox} (event) VALUES (jsonb_build_object(
            'namespace', {namespace}, 'keys', to_jsonb(keys), 'tags', to_jsonb(tags),
            {source}, 'reason', TG_OP || {reason}));
    END IF;
    RETURN NULL;
END"#
        )
    }

    /// The names of a row, as it was or as it is.
    fn names_of(&self, row: &str) -> String {
        let keys = format!("        keys := keys || ARRAY[{}];", self.key.of_row(row));
        if self.tags.is_empty() {
            return keys;
        }
        let tags: Vec<String> = self.tags.iter().map(|tag| tag.of_row(row)).collect();
        format!("{keys}\n        tags := tags || ARRAY[{}];", tags.join(", "))
    }
}

/// The SQL that takes a table's triggers away. The outbox stays, and what waits in it.
pub fn remove(table: &Table, namespace: &Namespace, outbox: &Table) -> String {
    let [row, truncate] = trigger_names(table, namespace, outbox);
    let function = function(table, namespace, outbox);
    format!(
        "BEGIN;
DROP TRIGGER IF EXISTS {row} ON {table};
DROP TRIGGER IF EXISTS {truncate} ON {table};
DROP FUNCTION IF EXISTS {function}();
COMMIT;"
    )
}

/// The SQL that takes away an outbox, what waits in it, and every trigger that fills it.
pub fn remove_all(outbox: &Table) -> String {
    let mark = literal(&mark(outbox));
    let drop = body(&format!(
        "DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT oid::regprocedure FROM pg_catalog.pg_proc
        WHERE pg_catalog.obj_description(oid, 'pg_proc') = {mark}
    LOOP
        EXECUTE pg_catalog.format('DROP FUNCTION %s CASCADE', function);
    END LOOP;
END"
    ));
    format!("BEGIN;\nDO {drop};\nDROP TABLE IF EXISTS {outbox};\nCOMMIT;")
}

/// What functions are known again by.
fn mark(outbox: &Table) -> String {
    format!("coherd: fills {outbox}")
}

/// In the outbox's schema.
fn notifier(outbox: &Table) -> String {
    format!("{}.{}", quoted(outbox.schema()), quoted(&unique("notify", &[&outbox.to_string()])))
}

/// In the table's schema.
fn function(table: &Table, namespace: &Namespace, outbox: &Table) -> String {
    format!("{}.{}", quoted(table.schema()), quoted(&names(table, namespace, outbox)))
}

/// Of changed rows, and of all at once.
fn trigger_names(table: &Table, namespace: &Namespace, outbox: &Table) -> [String; 2] {
    ["row", "truncate"].map(|which| quoted(&format!("{}_{which}", names(table, namespace, outbox))))
}

/// A table may feed several namespaces.
fn names(table: &Table, namespace: &Namespace, outbox: &Table) -> String {
    unique(table.name(), &[&table.to_string(), namespace, &outbox.to_string()])
}

/// Short enough to have something behind it, and another for other parts.
fn unique(name: &str, parts: &[&str]) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(36);
    let hash = xxh3_64(parts.join("\n").as_bytes()) >> 32;
    format!("coherd_{}_{hash:08x}", plain.collect::<String>())
}

/// A text in dollar quotes that do not occur in it.
fn body(text: &str) -> String {
    let mut quote = "$coherd$".to_owned();
    while text.contains(&quote) {
        quote.insert(quote.len() - 1, '_');
    }
    format!("{quote}\n{text}\n{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_whatever_it_is_given() {
        assert_eq!(body("a"), "$coherd$\na\n$coherd$");
        assert_eq!(body("'$coherd$'"), "$coherd_$\n'$coherd$'\n$coherd_$");
    }

    #[test]
    fn names_fit_the_server_and_differ() {
        let ns = |text: &str| Namespace::new(text).unwrap();
        let table: Table = format!("\"{}\"", "ü".repeat(31)).parse().unwrap();
        let outbox: Table = "coherd_outbox".parse().unwrap();
        let [row, truncate] = trigger_names(&table, &ns("a"), &outbox);
        assert!(truncate.len() <= 63 + 2 && row != truncate);
        assert_ne!(names(&table, &ns("a"), &outbox), names(&table, &ns("b"), &outbox));
    }
}
