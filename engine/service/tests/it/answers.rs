use std::sync::atomic::Ordering;

use foldline_service::HttpSettings;
use serde_json::json;

use super::Served;

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let served = Served::start(HttpSettings::default()).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = format!("GET /nothing?x=1 HTTP/1.1\nX-Request-Id: abc\nTraceparent: {parent}");
    let answer = served.ask(&request).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.header("x-request-id"), Some("abc"));
    assert_eq!(answer.header("traceparent"), Some(parent));
    let problem = json!({
        "type": "/problems/not-found", "title": "Not Found", "status": 404, "instance": "/nothing",
        "detail": "there is no /nothing",
        "next": [
            { "description": "read what this problem is and what helps", "method": "GET", "href": "/problems/not-found" },
            { "description": "see what there is here", "method": "GET", "href": "/" },
        ],
        "request_id": "abc", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    assert_eq!(answer.problem(), problem);
}

#[tokio::test]
async fn a_wrong_method_is_a_problem_that_names_the_right_ones() {
    let served = Served::start(HttpSettings::default()).await;
    let answer = served.ask("DELETE /hello HTTP/1.1").await;
    assert_eq!(answer.problem()["type"], "/problems/method-not-allowed");
    assert_eq!(answer.header("allow"), Some("get,head"));
    let detail = answer.problem()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("DELETE cannot be done here"), "{detail}");
}

#[tokio::test]
async fn a_slash_too_many_is_told() {
    let served = Served::start(HttpSettings::default()).await;
    let problem = served.ask("GET /hello/ HTTP/1.1").await.problem();
    assert_eq!(
        (&problem["status"], &problem["next"][0]["href"]),
        (&404.into(), &"/hello".into())
    );
    let elsewhere = served.ask("GET //example.org/ HTTP/1.1").await.problem();
    assert_eq!(elsewhere["next"][0]["href"], "/problems/not-found");
}

#[tokio::test]
async fn what_an_extractor_says_is_the_detail_of_a_problem() {
    let served = Served::start(HttpSettings::default()).await;
    let problem = served.ask("GET /number/seven HTTP/1.1").await.problem();
    assert_eq!(problem["status"], 400);
    assert!(problem["detail"].as_str().unwrap().contains("seven"), "{problem}");
}

#[tokio::test]
async fn a_body_past_the_limit_is_a_problem() {
    let settings = HttpSettings {
        body_bytes_max: 4,
        ..HttpSettings::default()
    };
    let served = Served::start(settings).await;
    let answer = served.ask("POST /body HTTP/1.1\nContent-Length: 4\n\nfour").await;
    assert_eq!(answer.body, "4");
    let answer = served
        .ask("POST /body HTTP/1.1\nContent-Length: 5\n\nfives")
        .await;
    assert_eq!(answer.problem()["type"], "/problems/too-large");
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing_of_the_inside() {
    let served = Served::start(HttpSettings::default()).await;
    let answer = served.ask("GET /panic HTTP/1.1").await;
    assert_eq!(answer.problem()["type"], "/problems/internal");
    assert!(!answer.body.contains("a bug"));
    assert_eq!(served.ask("GET /hello HTTP/1.1").await.status(), 200);
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let served = Served::start(HttpSettings::default()).await;
    let answer = served.ask("GET /hello HTTP/1.1").await;
    assert_eq!(answer.header("x-request-id").map(str::len), Some(36));
    assert_eq!(answer.header("traceparent").map(str::len), Some(55));
    assert_eq!(
        answer.header("ratelimit"),
        None,
        "there is no limit unless one is set"
    );
}

#[tokio::test]
async fn readiness_tells_what_is_missing() {
    let served = Served::start(HttpSettings::default()).await;
    assert_eq!(served.ask("GET /readyz HTTP/1.1").await.status(), 200);
    served.ready.store(false, Ordering::SeqCst);
    let answer = served.ask("GET /readyz HTTP/1.1").await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    assert!(answer.problem().get("missing").is_none());
    let answer = served.ask("GET /readyz?verbose HTTP/1.1").await;
    assert_eq!(answer.problem()["missing"], json!(["kafka"]));
    assert_eq!(served.ask("GET /livez HTTP/1.1").await.status(), 200);
}

#[tokio::test]
async fn requests_are_measured_by_route() {
    let served = Served::start(HttpSettings::default()).await;
    foldline_service::metrics_text();
    served.ask("GET /number/7 HTTP/1.1").await;
    let metrics = served.ask("GET /metrics HTTP/1.1").await.body;
    assert!(metrics.contains("http_route=\"/number/{n}\""), "{metrics}");
}
