use clap::{Args, Subcommand};
use foldline_core::Domains;
use foldline_kafka::{KafkaSettings, TopicPlan, apply_topics, check_topics};

/// Make and check the Kafka topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Make the topics that are not there. Those that are there stay as they are.
    Apply(ApplyOptions),
    /// Check that the topics are what the services rely on.
    Check {
        #[command(flatten)]
        kafka: KafkaSettings,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ApplyOptions {
    #[command(flatten)]
    kafka: KafkaSettings,
    /// Partitions of each topic. They can never be changed: aggregates would move.
    #[arg(long, env = "FOLDLINE_PARTITIONS", default_value_t = TopicPlan::default().partitions, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Copies of each partition: 3 where data must survive the loss of a broker.
    #[arg(long, env = "FOLDLINE_REPLICATION", default_value_t = TopicPlan::default().replication, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    replication: i32,
    /// Say which topics would be made, and make none.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(command: TopicsCommand, domains: Domains) -> anyhow::Result<()> {
    match command {
        TopicsCommand::Apply(options) => apply(options, &domains).await,
        TopicsCommand::Check { kafka } => check(&kafka, &domains).await,
    }
}

async fn apply(options: ApplyOptions, domains: &Domains) -> anyhow::Result<()> {
    let plan = TopicPlan {
        partitions: options.partitions,
        replication: options.replication,
        dry_run: options.dry_run,
        ..TopicPlan::default()
    };
    let made = apply_topics(&options.kafka, domains, &plan).await?;
    for topic in &made {
        println!("{topic}");
    }
    let verb = if options.dry_run { "to make" } else { "made" };
    println!(
        "{} topics {verb}, with {} partitions each",
        made.len(),
        plan.partitions
    );
    Ok(())
}

async fn check(kafka: &KafkaSettings, domains: &Domains) -> anyhow::Result<()> {
    let cluster = check_topics(kafka, domains).await?;
    let mut aggregates: Vec<_> = cluster.partitions.iter().collect();
    aggregates.sort();
    for (aggregate, partitions) in aggregates {
        println!("{aggregate}: {partitions} partitions");
    }
    println!("the topics on cluster {} are as they must be", cluster.id);
    Ok(())
}
