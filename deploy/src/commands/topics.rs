use anyhow::bail;
use clap::{Args, Subcommand};
use foldline_core::Domains;
use foldline_kafka::{
    AclDifference, Appointment, KafkaSettings, TopicPlan, apply_acls, apply_topics, check_topics,
    compare_acls,
};

/// Make and check the Kafka topics, and who may do what with them.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Make the topics that are not there, and the entries of access control lists that the principals need. What is
    /// there stays as it is.
    Apply(ApplyOptions),
    /// Check that the topics are what the services rely on, and that the principals may do what they need and no more.
    Check {
        #[command(flatten)]
        kafka: KafkaSettings,
        #[command(flatten)]
        principals: Principals,
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
    #[command(flatten)]
    principals: Principals,
    /// Say what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Principals {
    /// Who has which role, `command-handler=User:handler`; may be given several times. The roles are command-handler,
    /// projector, query-api, producer, analyst and operator. Without any, access control lists are not looked at.
    #[arg(
        long = "principal",
        env = "FOLDLINE_PRINCIPALS",
        value_name = "ROLE=PRINCIPAL",
        value_delimiter = ';'
    )]
    principals: Vec<Appointment>,
}

const BLANK: &str = "Kafka tells of no entry in its access control lists: there is none yet, or the brokers keep no lists \
    (authorizer.class.name), or whoever asks may not see them (describe on the cluster)";

pub(crate) async fn run(command: TopicsCommand, domains: Domains) -> anyhow::Result<()> {
    match command {
        TopicsCommand::Apply(options) => apply(options, &domains).await,
        TopicsCommand::Check { kafka, principals } => check(&kafka, &principals.principals, &domains).await,
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
    let principals = &options.principals.principals;
    if principals.is_empty() {
        return Ok(());
    }
    let difference = if options.dry_run {
        compare_acls(&options.kafka, domains, principals).await?
    } else {
        apply_acls(&options.kafka, domains, principals).await?
    };
    for binding in &difference.missing {
        println!("{binding}");
    }
    println!(
        "{} entries of access control lists {verb}",
        difference.missing.len()
    );
    if options.dry_run && difference.is_blank {
        println!("{BLANK}");
    }
    tell_unexpected(&difference);
    Ok(())
}

fn tell_unexpected(difference: &AclDifference) {
    for binding in &difference.unexpected {
        println!("not needed: {binding}");
    }
}

async fn check(kafka: &KafkaSettings, principals: &[Appointment], domains: &Domains) -> anyhow::Result<()> {
    let cluster = check_topics(kafka, domains).await?;
    let mut aggregates: Vec<_> = cluster.partitions.iter().collect();
    aggregates.sort();
    for (aggregate, partitions) in aggregates {
        println!("{aggregate}: {partitions} partitions");
    }
    println!("the topics on cluster {} are as they must be", cluster.id);
    if principals.is_empty() {
        return Ok(());
    }
    let difference = compare_acls(kafka, domains, principals).await?;
    if difference.is_blank {
        bail!("{BLANK}");
    }
    for binding in &difference.missing {
        println!("missing: {binding}");
    }
    tell_unexpected(&difference);
    let (missing, unexpected) = (difference.missing.len(), difference.unexpected.len());
    if missing + unexpected > 0 {
        bail!("access control lists: {missing} entries are missing, {unexpected} are not needed");
    }
    println!("the access control lists are as they must be");
    Ok(())
}
