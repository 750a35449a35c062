//! The export macros: each binds a function to one interface of the host. They hold glue alone.

/// Exports `async fn handle(Request) -> Result<Response, Problem>` as `wasi:http/handler`.
#[macro_export]
macro_rules! http_handler {
    ($handle:path) => {
        struct WeftHttp;
        impl $crate::bindings::exports::http::exports::wasi::http::handler::Guest for WeftHttp {
            async fn handle(
                request: $crate::bindings::wasi::http::types::Request,
            ) -> ::core::result::Result<
                $crate::bindings::wasi::http::types::Response,
                $crate::bindings::wasi::http::types::ErrorCode,
            > {
                $crate::http::serve(request, $handle).await
            }
        }
        $crate::bindings::exports::http::export_http!(WeftHttp with_types_in $crate::bindings::exports::http);
    };
}

/// Exports `weft:durable/resumable` for the sagas of this component: `FUNCTION => body`, where `FUNCTION` is the
/// `interface#function` that [`saga::run`](crate::saga::run) is called with and `body` the same body.
#[macro_export]
macro_rules! resumable {
    ($($function:expr => $body:path),+ $(,)?) => {
        struct WeftResumable;
        impl $crate::bindings::exports::resumable::exports::weft::durable::resumable::Guest for WeftResumable {
            async fn resume(key: ::std::string::String) -> ::core::result::Result<(), ::std::string::String> {
                let (function, input) = $crate::saga::load(&key).await?;
                $(if function == $function {
                    return $crate::saga::resume($function, key, &input, $body).await;
                })+
                ::core::result::Result::Err(::std::format!("{function} is not a durable function of this component"))
            }
        }
        $crate::bindings::exports::resumable::export_resumable!(
            WeftResumable with_types_in $crate::bindings::exports::resumable
        );
    };
}

/// Exports `async fn handle(Delivery) -> Result<(), Refusal>` as `weft:messaging/handler`.
#[macro_export]
macro_rules! subscription {
    ($handle:path) => {
        struct WeftSubscription;
        impl $crate::bindings::exports::subscription::exports::weft::messaging::handler::Guest for WeftSubscription {
            async fn handle(
                delivery: $crate::messaging::Delivery,
            ) -> ::core::result::Result<(), $crate::messaging::Refusal> {
                $handle(delivery).await
            }
        }
        $crate::bindings::exports::subscription::export_subscription!(
            WeftSubscription with_types_in $crate::bindings::exports::subscription
        );
    };
}

/// Exports `async fn project(Vec<SourceEvent>) -> Result<Vec<Statement>, String>` as `weft:events/projection`.
#[macro_export]
macro_rules! projection {
    ($project:path) => {
        struct WeftProjection;
        impl $crate::bindings::exports::projection::exports::weft::events::projection::Guest for WeftProjection {
            async fn project(
                events: ::std::vec::Vec<$crate::events::SourceEvent>,
            ) -> ::core::result::Result<::std::vec::Vec<$crate::sql::Statement>, ::std::string::String> {
                $project(events).await
            }
        }
        $crate::bindings::exports::projection::export_projection!(
            WeftProjection with_types_in $crate::bindings::exports::projection
        );
    };
}

/// Exports `async fn handle(Vec<Delivery>) -> Vec<Result<(), Refusal>>` as `weft:messaging/batch-handler`, for a
/// subscription whose `batch` is greater than 1.
#[macro_export]
macro_rules! batch_subscription {
    ($handle:path) => {
        struct WeftBatchSubscription;
        impl $crate::bindings::exports::batch_subscription::exports::weft::messaging::batch_handler::Guest
            for WeftBatchSubscription
        {
            async fn handle_batch(
                deliveries: ::std::vec::Vec<$crate::messaging::Delivery>,
            ) -> ::std::vec::Vec<::core::result::Result<(), $crate::messaging::Refusal>> {
                $handle(deliveries).await
            }
        }
        $crate::bindings::exports::batch_subscription::export_batch_subscription!(
            WeftBatchSubscription with_types_in $crate::bindings::exports::batch_subscription
        );
    };
}

/// Exports `async fn run() -> Result<Option<String>, String>` as `weft:control/startup`.
#[macro_export]
macro_rules! startup {
    ($run:path) => {
        struct WeftStartup;
        impl $crate::bindings::exports::startup::exports::weft::control::startup::Guest for WeftStartup {
            async fn run() -> ::core::result::Result<::core::option::Option<::std::string::String>, ::std::string::String>
            {
                $run().await
            }
        }
        $crate::bindings::exports::startup::export_startup!(WeftStartup with_types_in $crate::bindings::exports::startup);
    };
}
