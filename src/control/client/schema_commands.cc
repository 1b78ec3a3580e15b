// Commands on the schema of tablets, shards and keyspaces.
#include "control/client/call.h"
#include "control/client/tablet_text.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

void add_apply(CommandSet& set) {
  struct Flags {
    std::vector<std::string> sql, uuids;
    std::string file, strategy = "direct", context, caller;
    base::Duration wait = std::chrono::seconds(10);
    int64_t batch = 0;
  };
  auto f = std::make_shared<Flags>();
  auto& s =
      set.add(set.root(), "ApplySchema", "runs statements on every shard of a keyspace", [f](const ClientContext& c) {
        return [](const ClientContext& x, Flags flags) -> Output {
          vd::ApplySchemaRequest q;
          q.set_keyspace(x.arguments[0]);
          if (flags.sql.size() > 1 && flags.file.empty()) {  // --sql may be repeated.
            for (const auto& text : flags.sql) q.add_sql(text);
          } else {
            CO_ASSIGN_OR_RETURN(*q.add_sql(),
                                text_or_file(x, flags.sql.empty() ? "" : flags.sql.front(), flags.file, "sql"));
          }
          q.set_ddl_strategy(flags.strategy);
          q.set_migration_context(flags.context);
          q.mutable_uuid_list()->Add(flags.uuids.begin(), flags.uuids.end());
          *q.mutable_wait_replicas_timeout() = to_proto_duration(flags.wait);
          auto done = co_await x.call<vd::ApplySchemaResponse>("ApplySchema", std::move(q));
          if (!done.ok()) co_return std::move(done).error();
          std::string uuids;  // Of online schema changes: one a line, and at least the line's end.
          for (const auto& uuid : done->uuid_list()) uuids += (uuids.empty() ? "" : "\n") + uuid;
          co_return uuids + "\n";
        }(c, *f);
      });
  s.add_parsed(
      "sql", "string",
      [f](std::string_view value) -> Status {
        f->sql.emplace_back(value);
        return {};
      },
      [] { return std::string(); }, "statements, separated by semicolons");
  s.add("sql-file", &f->file, "a file with them");
  s.add("ddl-strategy", &f->strategy, "only direct is available");
  s.add("uuid", &f->uuids, "accepted");
  s.add("migration-context", &f->context, "accepted");
  s.add("caller-id", &f->caller, "accepted");
  s.add("wait-replicas-timeout", &f->wait, "how long replicas may take");
  s.add("batch-size", &f->batch, "accepted");
  s.arguments("<keyspace>", 1, 1);
}

struct TableFlags {
  std::vector<std::string> tables, exclude;
  bool views = false, names = false, sizes = false, schema = false;
};

void add_get(CommandSet& set) {
  auto f = std::make_shared<TableFlags>();
  auto& s = add_call<vd::GetSchemaRequest, vd::GetSchemaResponse>(
      set, "GetSchema", "prints the tables of a tablet",
      [f](const ClientContext& c, auto& q) -> Status {
        if (f->names + f->sizes + f->schema > 1) {
          return fail(Code::kInvalidArgument,
                      "give one of --table-names-only, --table-sizes-only and --table-schema-only");
        }
        q.mutable_tables()->Add(f->tables.begin(), f->tables.end());
        q.mutable_exclude_tables()->Add(f->exclude.begin(), f->exclude.end());
        q.set_include_views(f->views);
        q.set_table_names_only(f->names);
        q.set_table_sizes_only(f->sizes);
        q.set_table_schema_only(f->schema);
        return fill_alias(c, q);
      },
      [f](const ClientContext& c, const auto& done) -> Result<std::string> {
        if (!f->names) return c.json(done.schema());
        std::string out;
        for (const auto& table : done.schema().table_definitions()) out += table.name() + "\n";
        return out;
      });
  s.add("tables", &f->tables, "only these: names or /patterns/");
  s.add("exclude-tables", &f->exclude, "not these");
  s.add("include-views", &f->views, "views too");
  s.add("table-names-only", &f->names, "one name per line").alias("n");
  s.add("table-sizes-only", &f->sizes, "names, rows and bytes").alias("s");
  s.add("table-schema-only", &f->schema, "all but rows and bytes");
  s.arguments("<tablet alias>", 1, 1);
}

struct ReloadFlags {
  int32_t concurrency = 10;
  bool primary = false;
};

void declare_reload(base::Settings& s, ReloadFlags& flags) {
  s.add("concurrency", &flags.concurrency, "tablets at a time");
  s.add("include-primary", &flags.primary, "the primary too");
}

void add_reloads(CommandSet& set) {
  add_call<vd::ReloadSchemaRequest, vd::ReloadSchemaResponse>(
      set, "ReloadSchema", "lets a tablet read its schema again", fill_alias<vd::ReloadSchemaRequest>)
      .arguments("<tablet alias>", 1, 1);
  const auto warnings = [](const ClientContext&, const auto& done) {
    std::string out;
    for (const auto& event : done.events()) out += event_line(event);
    return out;
  };
  {
    auto f = std::make_shared<ReloadFlags>();
    auto& s = add_call<vd::ReloadSchemaShardRequest, vd::ReloadSchemaShardResponse>(
        set, "ReloadSchemaShard", "lets the tablets of a shard read their schema again",
        [f](const ClientContext& c, auto& q) -> Status {
          q.set_concurrency(f->concurrency);
          q.set_include_primary(f->primary);
          return fill_shard(c, q);
        },
        warnings);
    declare_reload(s, *f);
    s.arguments("<keyspace/shard>", 1, 1);
  }
  auto f = std::make_shared<ReloadFlags>();
  auto& s = add_call<vd::ReloadSchemaKeyspaceRequest, vd::ReloadSchemaKeyspaceResponse>(
      set, "ReloadSchemaKeyspace", "lets the tablets of a keyspace read their schema again",
      [f](const ClientContext& c, auto& q) -> Status {
        q.set_keyspace(c.arguments[0]);
        q.set_concurrency(f->concurrency);
        q.set_include_primary(f->primary);
        return {};
      },
      warnings);
  declare_reload(s, *f);
  s.arguments("<keyspace>", 1, 1);
}

struct CopyFlags {
  std::vector<std::string> tables, exclude;
  bool views = true, skip_verify = false;
  base::Duration wait = std::chrono::seconds(10);
};

Output copy_schema_command(const ClientContext& context, CopyFlags flags) {
  vd::CopySchemaShardRequest q;
  const std::string& source = context.arguments[0];
  if (source.contains('/')) {  // A shard: its primary is meant.
    CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(source));
    vd::GetShardRequest ask;
    ask.set_keyspace(name.first);
    ask.set_shard_name(name.second);
    CO_ASSIGN_OR_RETURN(const auto shard, co_await context.call<vd::GetShardResponse>("GetShard", std::move(ask)));
    if (!shard.shard().shard().has_primary_alias()) {
      co_return fail(Code::kFailedPrecondition, "shard " + source + " has no primary");
    }
    *q.mutable_source_tablet_alias() = shard.shard().shard().primary_alias();
  } else {
    CO_ASSIGN_OR_RETURN(*q.mutable_source_tablet_alias(), topo::parse_alias(source));
  }
  CO_ASSIGN_OR_RETURN(const auto target, parse_keyspace_shard(context.arguments[1]));
  q.set_destination_keyspace(target.first);
  q.set_destination_shard(target.second);
  q.mutable_tables()->Add(flags.tables.begin(), flags.tables.end());
  q.mutable_exclude_tables()->Add(flags.exclude.begin(), flags.exclude.end());
  q.set_include_views(flags.views);
  q.set_skip_verify(flags.skip_verify);
  *q.mutable_wait_replicas_timeout() = to_proto_duration(flags.wait);
  auto done = co_await context.call<vd::CopySchemaShardResponse>("CopySchemaShard", std::move(q));
  if (!done.ok()) co_return std::move(done).error();
  co_return std::string();
}

void add_copy(CommandSet& set) {
  auto f = std::make_shared<CopyFlags>();
  auto& s = set.add(set.root(), "CopySchemaShard", "makes the tables of one shard in another",
                    [f](const ClientContext& c) { return copy_schema_command(c, *f); });
  s.add("tables", &f->tables, "only these: names or /patterns/");
  s.add("exclude-tables", &f->exclude, "not these");
  s.add("include-views", &f->views, "views too");
  s.add("skip-verify", &f->skip_verify, "do not compare afterwards");
  s.add("wait-replicas-timeout", &f->wait, "how long replicas may take");
  s.arguments("<source keyspace/shard | tablet alias> <destination keyspace/shard>", 2, 2);
}

}  // namespace

void add_schema_commands(CommandSet& set) {
  add_apply(set);
  add_get(set);
  add_reloads(set);
  add_copy(set);
}

}  // namespace vitrail::control
