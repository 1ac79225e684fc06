use foldline_service::HttpSettings;

use super::Served;

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_page() {
    let served = Served::start(HttpSettings::default()).await;
    let problem = served.ask("DELETE /hello HTTP/1.1").await.problem();
    let page = problem["type"].as_str().unwrap();
    let answer = served.ask(&format!("GET {page} HTTP/1.1")).await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/markdown; charset=utf-8")
    );
    assert!(
        answer.body.starts_with("# method-not-allowed (405)"),
        "{}",
        answer.body
    );
    let answer = served
        .ask(&format!("GET {page} HTTP/1.1\nAccept: text/html,*/*"))
        .await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        answer.body.contains("<h1>method-not-allowed (405)</h1>"),
        "{}",
        answer.body
    );
    let index = served.ask("GET /problems HTTP/1.1").await.body;
    assert!(index.contains(&format!("]({page}) | 405 |")), "{index}");
}

#[tokio::test]
async fn a_rule_of_a_domain_that_came_without_a_page_has_one_and_no_other_code_has() {
    let served = Served::start(HttpSettings::default()).await;
    let answer = served.ask("GET /problems/coat-lost HTTP/1.1").await;
    assert!(answer.body.contains("Coat lost"), "{}", answer.body);
    let problem = served.ask("GET /problems/coat-found HTTP/1.1").await.problem();
    assert_eq!(problem["type"], "/problems/not-found");
    assert_eq!(problem["next"][0]["href"], "/problems");
}

#[tokio::test]
async fn the_page_of_the_api_needs_nothing_from_elsewhere() {
    let served = Served::start(HttpSettings::default()).await;
    let answer = served.ask("GET /docs HTTP/1.1").await;
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for elsewhere in ["http:", "https:", "//cdn", "<link", "src="] {
        assert!(!answer.body.contains(elsewhere), "{elsewhere}");
    }
    assert!(answer.body.contains("fetch(\"/openapi.json\")"));
    let document = served.ask("GET /openapi.json HTTP/1.1").await;
    assert_eq!(document.header("content-type"), Some("application/json"));
    assert!(document.body.contains("\"openapi\": \"3.1.0\""));
}
