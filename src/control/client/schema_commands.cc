#include "control/client/client.h"
#include "topo/tablet.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
using Output = net::Task<Result<std::string>>;

}  // namespace

void add_schema_commands(CommandSet& set) {
  base::Settings& root = set.root();
  {
    struct Flags {
      std::vector<std::string> sql;
      std::string file, strategy = "direct", context, caller;
      base::Duration wait = std::chrono::seconds(10);
      int64_t batch = 0;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(root, "ApplySchema", "runs statements on every shard of a keyspace", [f](const ClientContext& c) {
      return [](const ClientContext& x, Flags flags) -> Output {
        std::string joined;
        // Flags split lists at commas, which statements contain: put them together again.
        for (const auto& part : flags.sql) joined += (joined.empty() ? "" : ",") + part;
        CO_ASSIGN_OR_RETURN(const std::string text, text_or_file(joined, flags.file, "sql"));
        vd::ApplySchemaRequest q;
        q.set_keyspace(x.arguments[0]);
        q.add_sql(text);
        q.set_ddl_strategy(flags.strategy);
        q.set_migration_context(flags.context);
        *q.mutable_wait_replicas_timeout() = to_proto_duration(flags.wait);
        auto done = co_await x.call<vd::ApplySchemaResponse>("ApplySchema", std::move(q));
        if (!done.ok()) co_return std::move(done).error();
        co_return std::string();
      }(c, *f);
    });
    auto text = std::make_shared<std::string>();
    s.add_parsed(
        "sql", "string",
        [f](std::string_view value) -> Status {
          f->sql.emplace_back(value);
          return {};
        },
        [] { return std::string(); }, "statements, separated by semicolons");
    s.add("sql-file", &f->file, "a file with them");
    s.add("ddl-strategy", &f->strategy, "only direct is available");
    s.add("migration-context", &f->context, "accepted");
    s.add("caller-id", &f->caller, "accepted");
    s.add("wait-replicas-timeout", &f->wait, "how long replicas may take");
    s.add("batch-size", &f->batch, "accepted");
    s.arguments("<keyspace>", 1, 1);
  }
  {
    struct Flags {
      std::vector<std::string> tables, exclude;
      bool views = false, names = false, sizes = false, schema = false;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(root, "GetSchema", "prints the tables of a tablet", [f](const ClientContext& c) {
      return [](const ClientContext& x, Flags flags) -> Output {
        CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(x.arguments[0]));
        vd::GetSchemaRequest q;
        *q.mutable_tablet_alias() = alias;
        for (const auto& table : flags.tables) q.add_tables(table);
        for (const auto& table : flags.exclude) q.add_exclude_tables(table);
        q.set_include_views(flags.views);
        q.set_table_names_only(flags.names);
        q.set_table_sizes_only(flags.sizes);
        q.set_table_schema_only(flags.schema);
        CO_ASSIGN_OR_RETURN(const auto done, co_await x.call<vd::GetSchemaResponse>("GetSchema", std::move(q)));
        if (!flags.names) co_return x.json(done.schema());
        std::string out;
        for (const auto& table : done.schema().table_definitions()) out += table.name() + "\n";
        co_return out;
      }(c, *f);
    });
    s.add("tables", &f->tables, "only these: names or /patterns/");
    s.add("exclude-tables", &f->exclude, "not these");
    s.add("include-views", &f->views, "views too");
    s.add("table-names-only", &f->names, "one name per line").alias("n");
    s.add("table-sizes-only", &f->sizes, "accepted").alias("s");
    s.add("table-schema-only", &f->schema, "accepted");
    s.arguments("<tablet alias>", 1, 1);
  }
  set.add(root, "ReloadSchema", "lets a tablet read its schema again",
          [](const ClientContext& c) -> Output {
            CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(c.arguments[0]));
            vd::ReloadSchemaRequest q;
            *q.mutable_tablet_alias() = alias;
            auto done = co_await c.call<vd::ReloadSchemaResponse>("ReloadSchema", std::move(q));
            if (!done.ok()) co_return std::move(done).error();
            co_return std::string();
          })
      .arguments("<tablet alias>", 1, 1);
}

}  // namespace vitrail::control
