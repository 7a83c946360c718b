//! `token mint`, `token inspect` and `token explain`.

use crate::harness::{Directory, RunningGateway, SECRET, run, run_with_input};

#[test]
fn a_minted_token_is_understood_and_accepted() {
    let directory = Directory::new();
    let arguments =
        ["token", "mint", "--user", "u1", "--grant", "team:*=subscribe,presence", "--grant", "*=admin", "--ttl", "1h"];
    let minted = run(directory.roomcast(&arguments).env("JWT_SECRET", SECRET));
    assert_eq!((minted.code, minted.stdout.lines().count()), (Some(0), 1), "{}", minted.stderr);
    let token = minted.stdout;
    let inspected = run(directory.roomcast(&["token", "inspect", &token]).env("JWT_SECRET", SECRET));
    for part in
        [r#""alg":"HS256""#, r#""sub": "u1""#, "(in 59 min ", "good: made with JWT_SECRET", "accepted, as user u1"]
    {
        assert!(inspected.stdout.contains(part), "{part} is missing in {}", inspected.stdout);
    }
    let gateway = RunningGateway::serve(&directory);
    let stats = gateway.http(&format!("GET /api/v1/ws/stats HTTP/1.1\r\nAuthorization: Bearer {token}"), "");
    assert!(stats.starts_with("HTTP/1.1 200"), "{stats}");
}

#[test]
fn a_token_is_read_without_its_secret_and_from_standard_input() {
    let directory = Directory::new();
    let minted = run(directory.roomcast(&["token", "mint", "--user", "u1"]).env("JWT_SECRET", SECRET));
    let output = run_with_input(&mut directory.roomcast(&["token", "inspect", "-"]), &minted.stdout);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("u1") && text.contains("signature  not checked"), "{text}");
}

#[test]
fn a_foreign_signature_is_told() {
    let directory = Directory::new();
    let minted = run(directory.roomcast(&["token", "mint", "--user", "u1"]).env("JWT_SECRET", SECRET));
    let mut command = directory.roomcast(&["token", "inspect", &minted.stdout]);
    let inspected = run(command.env("JWT_SECRET", SECRET.replace('0', "1")));
    assert!(inspected.stdout.contains("signature  not made with"), "{}", inspected.stdout);
    assert!(inspected.stdout.contains("refused"), "{}", inspected.stdout);
    // {"alg":"none"}.{"sub":"u1","exp":1}.
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1MSIsImV4cCI6MX0.";
    let inspected = run(directory.roomcast(&["token", "inspect", unsigned]).env("JWT_SECRET", SECRET));
    assert!(inspected.stdout.contains("refused"), "{}", inspected.stdout);
    assert!(inspected.stdout.contains("expires    1970-01-01T00:00:01.000Z ("), "{}", inspected.stdout);
}

#[test]
fn a_decision_is_explained_by_the_grant_that_makes_it() {
    let directory = Directory::new();
    let mint = ["token", "mint", "--user", "u1", "--grant", "team:*=subscribe", "--grant", "team:a=presence"];
    let minted = run(directory.roomcast(&mint).env("JWT_SECRET", SECRET));
    let explain = |room: &str, operation: &str| {
        let question = ["token", "explain", "--token", &minted.stdout, "--room", room, "--op", operation];
        run(directory.roomcast(&question).env("JWT_SECRET", SECRET))
    };
    let said = explain("team:a", "subscribe").stdout;
    assert!(said.starts_with("allowed    the grant under team:* allows it\n"), "{said}");
    assert!(said.contains("team:a: presence") && said.contains("team:*: subscribe"), "{said}");
    let said = explain("team:a", "publish:user.typing").stdout;
    assert!(said.starts_with("denied     none of the token's grants allows it\n"), "{said}");
    assert!(explain("user:u1", "subscribe").stdout.starts_with("allowed    the room is the user's own"));
    for (room, operation) in [("team", "subscribe"), ("team:a", "read")] {
        assert_eq!(explain(room, operation).code, Some(2));
    }
    let question = ["token", "explain", "--token", &minted.stdout, "--room", "team:a", "--op", "history"];
    let asking = ["--access-url", "https://app.example.com/access"];
    let said = run(directory.roomcast(&[&question[..], &asking].concat()).env("JWT_SECRET", SECRET)).stdout;
    assert!(said.starts_with("callback   none of the token's grants allows it\n"), "{said}");
    assert!(said.contains("decided by ACCESS_URL, which the gateway asks"), "{said}");
    let question = ["token", "explain", "--token", "-", "--room", "team:a", "--op", "subscribe"];
    let output =
        run_with_input(directory.roomcast(&question).env("JWT_SECRET", SECRET.replace('0', "1")), &minted.stdout);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), "denied     the token's signature is not valid");
}

#[test]
fn a_minted_token_raises_limits_of_the_gateway() {
    let directory = Directory::new();
    let mint = |more: &[&str]| {
        let arguments = [&["token", "mint", "--user", "u1", "--grant", "*=publish"], more].concat();
        let minted = run(directory.roomcast(&arguments).env("JWT_SECRET", SECRET));
        assert_eq!(minted.code, Some(0), "{}", minted.stderr);
        minted.stdout
    };
    let raises = ["--limit", "user.publishes=3", "--limit", "connection.messages=500"];
    let (raised, plain) = (mint(&raises), mint(&[]));
    let inspected = run(directory.roomcast(&["token", "inspect", &raised]).env("JWT_SECRET", SECRET)).stdout;
    assert!(inspected.contains(r#""user.publishes": 3"#) && inspected.contains("accepted"), "{inspected}");
    let inspected = run(directory.roomcast(&["token", "inspect", &plain]).env("JWT_SECRET", SECRET)).stdout;
    assert!(!inspected.contains("limits"), "{inspected}");

    let mut serve = directory.roomcast(&["serve"]);
    let gateway = RunningGateway::start(serve.env("JWT_SECRET", SECRET).env("LIMITS", "user.publishes=1/1h"));
    let event = r#"{"type":"custom.event","payload":1,"rooms":["team:a"]}"#;
    let publish = |token: &str| {
        let answer = gateway.http(&format!("POST /api/v1/events HTTP/1.1\r\nAuthorization: Bearer {token}"), event);
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!([publish(&plain), publish(&plain)], ["200", "429"]);
    // The same user, of whom one is used up already.
    assert_eq!([publish(&raised), publish(&raised), publish(&raised)], ["200", "200", "429"]);
}

#[test]
fn without_any_secret_nothing_is_minted() {
    let directory = Directory::new();
    let said = run(&mut directory.roomcast(&["token", "mint", "--user", "u1"]));
    assert!(said.code == Some(2) && said.stderr.contains("set JWT_SECRET"), "{}", said.stderr);
    assert_eq!(said.stdout, "");
}

#[test]
fn a_running_dev_gateway_accepts_what_is_minted_beside_it() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let minted = run(&mut directory.roomcast(&["token", "mint", "--user", "u1"]));
    assert!(minted.stderr.contains("the dev secret in .roomcast/dev-secret"), "{}", minted.stderr);
    let (_socket, answer) = gateway.socket("/ws", &format!("Authorization: Bearer {}\r\n", minted.stdout));
    assert!(answer.contains(r#""userId":"u1""#), "{answer}");
}

#[test]
fn misspelt_grants_limits_and_times_are_wrong_usage() {
    let directory = Directory::new();
    for wrong in [
        &["--grant", "team:*=subscrib"][..],
        &["--grant", "teams"],
        &["--limit", "user.flights=5"],
        &["--limit", "user.publishes=5/1m"],
        &["--limit", "user.bytes=5", "--limit", "user.bytes=6"],
        &["--ttl", "soon"],
        &["--user", "no user"],
    ] {
        let said = run(directory.roomcast(&["token", "mint", "--user", "u1"]).args(wrong).env("JWT_SECRET", SECRET));
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{wrong:?}");
    }
}
