use foldline_service::HttpSettings;

use super::Served;

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back_and_all_are_told_what_is_left() {
    let settings = HttpSettings {
        rate_limit: Some("2/m".parse().unwrap()),
        ..HttpSettings::default()
    };
    let served = Served::start(settings).await;
    for left in [1, 0] {
        let answer = served.ask("GET /hello HTTP/1.1").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=2;w=60"));
        let state = format!("\"default\";r={left};t=60");
        assert_eq!(answer.header("ratelimit"), Some(state.as_str()));
    }
    let answer = served.ask("GET /hello HTTP/1.1").await;
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    let state = format!("\"default\";r=0;t={seconds}");
    assert_eq!(answer.header("ratelimit"), Some(state.as_str()));
    let problem = answer.problem();
    assert_eq!(
        (&problem["status"], &problem["type"]),
        (&429.into(), &"/problems/rate-limited".into())
    );
    assert_eq!(problem["next"][0]["href"], "/hello");
    assert_eq!(
        served.ask("GET /readyz HTTP/1.1").await.status(),
        200,
        "health has no limit"
    );
}
