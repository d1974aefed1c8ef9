//! What came of a step, in terms that all kinds of answers share, and whether it is what was expected.

use kvorum_client::{ConnectError, ErrorKind, OpenError, OperationError};
use kvorum_protocol::codec::Tagged;
use kvorum_protocol::message::{
    GetDone, GetOutcome, ListItem, MergedDone, PutDone, PutOutcome, RequestError, Response,
    UpdateDone,
};

use crate::cases::{Expected, value_of};
use crate::raw::decoded;

/// What came of a step.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A put or delete.
    Written(PutDone),
    /// A get.
    Read(GetDone),
    /// An operation on a mergeable value.
    Updated(UpdateDone),
    /// A read of one.
    Merged(MergedDone),
    /// All pages of a listing.
    Listed(Vec<ListItem>),
    /// The items of a batch.
    Batch(Vec<Outcome>),
    /// Something else that went well.
    Done,
    /// An error: its code, and what it says more closely.
    Failed { code: u32, detail: Option<u32> },
}

impl From<RequestError> for Outcome {
    fn from(error: RequestError) -> Outcome {
        let detail = match &error {
            RequestError::BadContext { reason } => Some(reason.tag()),
            RequestError::InvalidArgument { argument } => Some(argument.tag()),
            RequestError::TooLarge { what, .. } => Some(what.tag()),
            RequestError::Unauthenticated { reason } => Some(reason.tag()),
            _ => None,
        };
        Outcome::Failed { code: error.tag(), detail }
    }
}

impl From<OperationError> for Outcome {
    fn from(error: OperationError) -> Outcome {
        let code = match error.kind {
            ErrorKind::Answered { error, .. } => return error.into(),
            ErrorKind::OutcomeUnknown | ErrorKind::UnexpectedAnswer { .. } => 3,
            // What this client refuses by itself counts as the node's answer to a malformed request.
            ErrorKind::Invalid(_) | ErrorKind::TooLong(_) => 8,
            ErrorKind::NoNode(_) | ErrorKind::NoAnswer => 1,
        };
        Outcome::Failed { code, detail: None }
    }
}

impl From<OpenError> for Outcome {
    fn from(error: OpenError) -> Outcome {
        let refusal = match error {
            OpenError::NoNode(causes) => causes.into_iter().find_map(|(_, cause)| match cause {
                ConnectError::Refused(error) => Some(error),
                _ => None,
            }),
            OpenError::Topology { .. } => None,
        };
        refusal.map_or(Outcome::Failed { code: 1, detail: None }, Outcome::from)
    }
}

impl From<PutOutcome> for Outcome {
    fn from(outcome: PutOutcome) -> Outcome {
        match outcome {
            PutOutcome::Done(done) => Outcome::Written(done),
            PutOutcome::Failed { error } => error.into(),
        }
    }
}

impl From<GetOutcome> for Outcome {
    fn from(outcome: GetOutcome) -> Outcome {
        match outcome {
            GetOutcome::Done(done) => Outcome::Read(done),
            GetOutcome::Failed { error } => error.into(),
            GetOutcome::Merged(done) => Outcome::Merged(done),
        }
    }
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Outcome {
        match response {
            Response::Error { error } => error.into(),
            _ => Outcome::Done,
        }
    }
}

fn check<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: T,
    wanted: Option<T>,
) -> Result<(), String> {
    match wanted {
        Some(wanted) if wanted != found => Err(format!("{what}: {found:?} instead of {wanted:?}")),
        _ => Ok(()),
    }
}

/// Compares an outcome with what was expected.
pub(crate) fn compare(outcome: &Outcome, expected: &Expected) -> Result<(), String> {
    match (outcome, &expected.error) {
        (Outcome::Failed { code, detail }, Some(codes)) if codes.contains(code) => {
            check("detail", *detail, expected.detail.map(Some))
        }
        (Outcome::Failed { .. }, _) | (_, Some(_)) => Err(format!("{outcome:?}")),
        (Outcome::Written(done), None) => {
            check("context", done.context.is_some(), expected.context)?;
            check("replaced", done.replaced.len(), expected.replaced)?;
            check("retry_checked", done.retry_checked, expected.retry_checked)?;
            check(
                "acked_owners",
                done.acked_owners >= expected.acked_owners.unwrap_or(0),
                Some(true),
            )
        }
        (Outcome::Read(done), None) => {
            check("context", done.context.is_some(), expected.context)?;
            check("complete", done.complete, expected.complete)?;
            check("count", done.values.len(), expected.count)?;
            let sorted = |mut values: Vec<bytes::Bytes>| {
                values.sort();
                values
            };
            let found = sorted(done.values.iter().map(|value| value.value.clone()).collect());
            let wanted = expected.values.as_ref();
            let wanted =
                wanted.map(|values| sorted(values.iter().map(|text| value_of(text)).collect()));
            check("values", found, wanted)
        }
        (Outcome::Updated(done), None) => {
            check("retry_checked", done.retry_checked, expected.retry_checked)?;
            check("merged", done.value.clone(), expected.merged.as_ref().map(decoded))
        }
        (Outcome::Merged(done), None) => {
            check("complete", done.complete, expected.complete)?;
            check("merged", done.value.clone(), expected.merged.as_ref().map(decoded))
        }
        (Outcome::Listed(items), None) => {
            let wanted = expected.keys.as_ref();
            let wanted = wanted.map(|keys| keys.iter().map(|text| value_of(text)).collect());
            check(
                "keys",
                items.iter().map(|item| item.key.to_bytes()).collect::<Vec<_>>(),
                wanted,
            )?;
            let siblings: Vec<u32> = items.iter().map(|item| item.siblings).collect();
            check("siblings", siblings, expected.siblings.clone())
        }
        (Outcome::Batch(outcomes), None) => {
            let wanted = expected.outcomes.as_ref().ok_or("a batch was not expected")?;
            check("outcomes", outcomes.len(), Some(wanted.len()))?;
            outcomes.iter().zip(wanted).try_for_each(|(outcome, wanted)| compare(outcome, wanted))
        }
        (Outcome::Done, None) => Ok(()),
    }
}
