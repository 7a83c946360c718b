//! Error codes and close codes: two vocabularies.

use roomcast_protocol::{Advice, CloseCode, ErrorCode};

#[test]
fn error_codes_are_those_of_the_contract_with_their_status() {
    let wanted = [
        ("UNAUTHORIZED", 401),
        ("RATE_LIMIT_EXCEEDED", 429),
        ("INVALID_MESSAGE", 400),
        ("UNKNOWN_ERROR", 500),
        ("FORBIDDEN", 403),
        ("INVALID_ROOM", 422),
        ("INVALID_PAYLOAD", 422),
        ("LIMIT_EXCEEDED", 413),
        ("UNAVAILABLE", 503),
    ];
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| (code.as_str(), code.http_status())).collect();
    assert_eq!(codes, wanted);
}

#[test]
fn an_error_code_reads_back_as_itself() {
    for code in ErrorCode::ALL {
        assert_eq!(code.as_str().parse(), Ok(*code));
        assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        assert_eq!(serde_json::from_str::<ErrorCode>(&format!("\"{code}\"")).unwrap(), *code);
    }
    assert!("unauthorized".parse::<ErrorCode>().is_err());
}

#[test]
fn close_codes_are_those_of_the_contract() {
    let codes: Vec<_> = CloseCode::ALL.iter().map(|code| code.code()).collect();
    assert_eq!(codes, [1000, 1002, 1007, 1009, 1011, 1012, 4000, 4001, 4002, 4003, 4004, 4500, 4501, 4502]);
    CloseCode::ALL.iter().for_each(|code| assert_eq!(CloseCode::from(code.code()), *code));
}

#[test]
fn a_reason_fits_a_close_frame() {
    for code in CloseCode::ALL {
        assert!((1..=123).contains(&code.reason().len()), "{code:?}");
    }
}

#[test]
fn the_range_is_the_advice_for_codes_of_later_versions_too() {
    for (code, advice) in [
        (1006, Advice::Reconnect),
        (1012, Advice::Reconnect),
        (4000, Advice::Reconnect),
        (4499, Advice::Reconnect),
        (4500, Advice::StayAway),
        (4777, Advice::StayAway),
        (4999, Advice::StayAway),
    ] {
        assert_eq!(CloseCode::from(code).advice(), advice, "{code}");
    }
    assert_eq!(CloseCode::from(4777), CloseCode::Other(4777));
    assert_eq!(CloseCode::Other(4777).code(), 4777);
}
