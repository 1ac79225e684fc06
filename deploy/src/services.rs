//! The services, until their libraries have them.
#![allow(missing_docs)]

macro_rules! pending {
    ($name:ident, $data:ident) => {
        pub(crate) mod $name {
            use foldline_core::Domains;
            use foldline_service::{Health, HttpSettings, Shutdown, app, bind, serve};

            #[derive(Debug, Clone, clap::Args)]
            pub(crate) struct Settings {
                #[arg(long, env = "FOLDLINE_LISTEN", default_value = "127.0.0.1:0")]
                listen: std::net::SocketAddr,
                #[arg(long)]
                $data: String,
                #[command(flatten)]
                kafka: foldline_kafka::KafkaSettings,
                #[command(flatten)]
                http: HttpSettings,
            }

            pub(crate) async fn run(
                settings: Settings,
                _: Domains,
                shutdown: Shutdown,
            ) -> anyhow::Result<()> {
                let listener = bind(settings.listen).await?;
                let app = app(
                    axum::Router::new(),
                    Health::new(&shutdown, Vec::new),
                    &settings.http,
                );
                serve(listener, app, &shutdown, &settings.http).await;
                Ok(())
            }
        }
    };
}
pending!(command_handler, data_dir);
pending!(projector, data_dir);
pending!(query_api, views);
