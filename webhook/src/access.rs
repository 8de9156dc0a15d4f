//! Questions about the requester, put to the API server as SubjectAccessReviews.
//!
//! Only `/validate` asks, once per question, under one deadline for all questions of a request. No answer in time, or
//! an error, is a no. Answers are kept for five seconds, in a bounded cache.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use rules::{Question, Requester};

use crate::metrics::Metrics;

/// How long an answer is believed.
const LIFETIME: Duration = Duration::from_secs(5);
/// How many answers are kept at most.
const CAPACITY: usize = 4096;

/// Who asked, and what about.
type Key = (
    String,
    String,
    Vec<String>,
    BTreeMap<String, Vec<String>>,
    Question,
);

/// Puts questions to the API server.
#[derive(Debug)]
pub struct Asker {
    reviews: Api<SubjectAccessReview>,
    deadline: Duration,
    metrics: Metrics,
    cache: Mutex<HashMap<Key, (Instant, bool)>>,
}

/// The answers to the questions of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// One for each question.
    pub given: BTreeMap<Question, bool>,
    /// Why some are a no although nobody said so.
    pub failure: Option<String>,
}

impl Asker {
    /// An asker whose questions of one request take no longer than `deadline` together.
    pub fn new(client: Client, deadline: Duration, metrics: Metrics) -> Self {
        Self {
            reviews: Api::all(client),
            deadline,
            metrics,
            cache: Mutex::default(),
        }
    }

    /// Asks all questions at once.
    pub async fn ask(&self, requester: &Requester, questions: Vec<Question>) -> Answers {
        let mut answers = Answers::default();
        let open = self.answer_known(requester, questions, &mut answers);
        let asked = join_all(open.into_iter().map(|question| async {
            let answer =
                tokio::time::timeout(self.deadline, self.review(requester, &question)).await;
            (question, answer)
        }));
        for (question, answer) in asked.await {
            let (allowed, outcome) = match answer {
                Ok(Ok(allowed)) => {
                    self.remember(key(requester, &question), allowed);
                    (allowed, if allowed { "allowed" } else { "denied" })
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a SubjectAccessReview failed, which counts as a no");
                    answers.failure = Some("the API server could not be asked".to_owned());
                    (false, "error")
                }
                Err(_) => {
                    tracing::warn!(deadline = ?self.deadline, "a SubjectAccessReview took too long, which counts as a no");
                    answers.failure = Some(format!(
                        "the API server did not answer within {:?}",
                        self.deadline
                    ));
                    (false, "timeout")
                }
            };
            self.metrics.asked(outcome);
            answers.given.insert(question, allowed);
        }
        answers
    }

    /// Answers what is known and returns the rest.
    fn answer_known(
        &self,
        requester: &Requester,
        questions: Vec<Question>,
        answers: &mut Answers,
    ) -> Vec<Question> {
        if questions.is_empty() {
            return questions;
        }
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, open): (Vec<_>, Vec<_>) = questions.into_iter().partition(|question| {
            let hit = cache
                .get(&key(requester, question))
                .filter(|(since, _)| since.elapsed() < LIFETIME);
            if let Some((_, allowed)) = hit {
                answers.given.insert(question.clone(), *allowed);
            }
            hit.is_some()
        });
        for _ in known {
            self.metrics.asked("cached");
        }
        open
    }

    fn remember(&self, key: Key, allowed: bool) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CAPACITY {
            cache.retain(|_, (since, _)| since.elapsed() < LIFETIME);
        }
        if cache.len() < CAPACITY {
            cache.insert(key, (Instant::now(), allowed));
        }
    }

    async fn review(&self, requester: &Requester, question: &Question) -> kube::Result<bool> {
        let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: set(&requester.username),
                uid: set(&requester.uid),
                groups: Some(requester.groups.clone()),
                extra: Some(requester.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    verb: set(question.verb),
                    group: set(question.group),
                    resource: set(question.resource),
                    namespace: set(&question.namespace),
                    name: set(&question.name),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = self.reviews.create(&PostParams::default(), &review).await?;
        Ok(answer
            .status
            .is_some_and(|status| status.allowed && !status.denied.unwrap_or(false)))
    }
}

fn key(requester: &Requester, question: &Question) -> Key {
    let Requester {
        username,
        uid,
        groups,
        extra,
    } = requester.clone();
    (username, uid, groups, extra, question.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::client::Body;

    use super::*;

    /// An API server that answers `reply` to everything, or never.
    fn server(reply: Option<&'static str>) -> (Client, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let calls = Arc::clone(&count);
        let service = tower::service_fn(move |_: http::Request<Body>| {
            calls.fetch_add(1, Ordering::SeqCst);
            async move {
                let Some(reply) = reply else {
                    return std::future::pending().await;
                };
                Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(
                    reply.as_bytes().to_vec(),
                )))
            }
        });
        (Client::new(service, "default"), count)
    }

    fn question() -> Question {
        Question {
            verb: "impersonate",
            group: api::GROUP,
            resource: "mcpagentsessions",
            namespace: "team-a".to_owned(),
            name: String::new(),
        }
    }

    fn asker(reply: Option<&'static str>) -> (Asker, Arc<AtomicUsize>) {
        let (client, calls) = server(reply);
        (
            Asker::new(client, Duration::from_millis(50), Metrics::default()),
            calls,
        )
    }

    fn alice() -> Requester {
        Requester {
            username: "alice".to_owned(),
            ..Requester::default()
        }
    }

    const YES: &str = r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","metadata":{},"spec":{},"status":{"allowed":true}}"#;

    #[tokio::test]
    async fn an_answer_is_asked_for_once_per_requester() {
        let (asker, calls) = asker(Some(YES));
        for _ in 0..3 {
            let answers = asker.ask(&alice(), vec![question()]).await;
            assert_eq!(
                answers,
                Answers {
                    given: [(question(), true)].into(),
                    failure: None
                }
            );
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        let in_group = Requester {
            groups: vec!["team".to_owned()],
            ..alice()
        };
        asker.ask(&in_group, vec![question()]).await;
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn no_answer_in_time_is_a_no_that_is_not_remembered() {
        let (asker, calls) = asker(None);
        for _ in 0..2 {
            let answers = asker.ask(&alice(), vec![question()]).await;
            assert_eq!(answers.given, [(question(), false)].into());
            assert!(answers.failure.is_some());
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_error_is_a_no() {
        let (asker, _) = asker(Some("junk"));
        let answers = asker.ask(&alice(), vec![question()]).await;
        assert_eq!(answers.given, [(question(), false)].into());
        assert!(answers.failure.is_some());
    }

    #[tokio::test]
    async fn the_cache_is_bounded() {
        let (asker, _) = asker(Some(YES));
        for at in 0..=CAPACITY {
            let requester = Requester {
                username: format!("user-{at}"),
                ..Requester::default()
            };
            asker.remember(key(&requester, &question()), true);
        }
        assert_eq!(asker.cache.lock().unwrap().len(), CAPACITY);
    }
}
