//! Nothing that is printed holds a secret: not the configuration, not a fault, whatever is wrong.

use super::{Layers, file};

const SECRET: &str = "hunter2";

#[test]
fn the_effective_configuration_hides_secrets() {
    let layers = file(
        "[backend]\nurl = \"valkey://u:hunter2@h:1\"\nreader_url = \"valkey://:hunter2@r\"
         [namespaces.a.origin]\nurl = \"http://u:hunter2@h/{key}?token=hunter2\"
         headers = { Authorization = \"Bearer hunter2\", x-api-key = \"hunter2\", accept = \"text/plain\" }
         [namespaces.b.origin]\nkind = \"sql\"\nselect = \"SELECT ?1\"\nurl = \"sqlite:x.db?password=hunter2\"
         [[auth.tokens]]\nname = \"t\"\ntoken_env = \"T\"\nallow = [\"read\"]",
    )
    .env("T", SECRET);
    let loaded = layers.load().unwrap();
    let printed = loaded.provenance.to_string();
    let debugged = format!("{:?} {:#?}", loaded.config, loaded.provenance);
    assert!(!printed.contains(SECRET), "{printed}");
    assert!(!debugged.contains(SECRET), "{debugged}");
    assert!(printed.contains("url = \"valkey://u:***@h:1\"  # from"), "{printed}");
    assert!(printed.contains("\"text/plain\""), "{printed}");
    assert_eq!(loaded.config.backend.password.unwrap().expose(), SECRET);
    assert_eq!(loaded.config.auth.tokens[0].secret.expose(), SECRET);

    let loaded = Layers::default().set("backend.password=hunter2").load().unwrap();
    assert!(loaded.provenance.to_string().contains("password = \"***\"  # from --set backend.password"));
    let layers = Layers::default().env("P", SECRET).set("backend.password_env=P");
    let loaded = layers.load().unwrap();
    assert!(!format!("{:?}{}", loaded.config, loaded.provenance).contains(SECRET));
    assert_eq!(loaded.config.backend.password.unwrap().expose(), SECRET);
}

#[test]
fn no_fault_repeats_a_secret() {
    for text in [
        "[backend]\npassword = hunter2",
        "[backend]\npassword = \"hunter2",
        "[backend]\npassword = 'hunter2' x",
        "[backend]\npassword = [\"hunter2\"]",
        "[backend]\npassword = { hunter2 = 1 }",
        "[backend]\npasword = \"hunter2\"",
        "[backend]\nurl = \"http://:hunter2@h\"",
        "[backend]\nurl = \"valkey://u:hunter2@h:x\"",
        "[backend]\nurl = \"hunter2\"",
        "[backend]\nurl = [\"hunter2\"]",
        "[backend]\npassword = \"hunter2\"\npassword_env = \"P\"",
        "[backend]\npassword = \"hunter2\"\nurl = \"valkey://:hunter2@h\"",
        "[backend]\nkind = \"memory\"\nurl = \"valkey://:hunter2@h\"",
        "[backend]\nurl = \"valkey-cluster://:hunter2@h/3\"",
        "[namespaces.a.origin]\nurl = \"http://u:hunter2@h/\"",
        "[namespaces.a.origin]\nurl = \"http://u:{hunter2}@h/{key}\"",
        "[namespaces.a.origin]\nurl = \"http://u:hunter2{@h/{key}\"",
        "[namespaces.a.origin]\nurl = \"ftp://u:hunter2@h/{key}\"",
        "[namespaces.a.origin]\nurl = \"http://h/{key}\"\nheaders = { authorization = [\"hunter2\"] }",
        "[namespaces.a.origin]\nurl = \"http://h/{key}\"\nheaders = { \"x y\" = \"hunter2\" }",
        "[namespaces.a.origin]\nurl = \"http://h/{key}\"\nheaders = \"hunter2\"",
        "[namespaces.a.origin]\nurl = \"http://h/{key}\"\nheaders = { cookie = \"hunter2\\n\" }",
        "[namespaces.a.origin]\nkind = \"sql\"\nurl = \"mysql://u:hunter2@h/d\"\nselect = \"x\"",
        "[[auth.tokens]]\nname = \"t\"\ntoken = \"hunter2\"\nallow = [\"read\"]",
        "backend = \"hunter2\"",
        "password = \"hunter2\"",
    ] {
        let faults = file(text).env("P", SECRET).load().expect_err(text);
        let shown = format!("{faults} {faults:?}");
        assert!(!shown.contains(SECRET), "{text}: {shown}");
    }
    for layers in [
        Layers::default().set("backend.password hunter2"),
        Layers::default().set("backend.password: hunter2 = x"),
        Layers::default().set("backend.url=http://:hunter2@h"),
        Layers::default().set("backend=hunter2"),
        Layers::default().set("backend.pasword=hunter2"),
        Layers::default().env("COHERD_BACKEND__PASWORD", SECRET),
        Layers::default().env("COHERD_BACKEND__PASSWORD__X", SECRET),
        Layers::default().env("COHERD_BACKEND__", SECRET),
        Layers::default().env("COHERD_NAMESPACES__A__ORIGIN__HEADERS", SECRET),
    ] {
        let faults = layers.load().expect_err("a fault");
        assert!(!format!("{faults} {faults:?}").contains(SECRET), "{faults}");
    }
}
