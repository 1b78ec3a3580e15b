// Commands that look for faults. They fail when they find any.
#include "control/client/call.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// Collects what the responses say, with headings.
class Findings {
 public:
  template <typename List>
  void add(const List& results, const std::string& heading = "") {
    if (!heading.empty()) text_ += "\nFor " + heading + ":\n";
    for (const auto& result : results) text_ += "- " + result + "\n";
    found_ = found_ || !results.empty();
  }
  // Without a heading of its own for the keyspace that the command names.
  template <typename Response>
  void add_keyspace(const std::string& keyspace, const Response& done, bool heading) {
    bool any = !done.results().empty();
    for (const auto& [shard, found] : done.results_by_shard()) any = any || !found.results().empty();
    if (!any) return;
    add(done.results(), heading ? keyspace : "");
    for (const auto& [shard, found] : std::map<std::string, vd::ValidateShardResponse>(done.results_by_shard().begin(),
                                                                                       done.results_by_shard().end())) {
      if (!found.results().empty()) add(found.results(), keyspace + "/" + shard);
    }
  }
  // `success`, or what was found and the error `failure`.
  Result<std::string> outcome(const ClientContext& context, const std::string& success,
                              const std::string& failure) const {
    if (!found_) return success + " complete; no issues found.\n";
    if (context.show) context.show("Validation results:\n" + text_);
    return fail(Code::kFailedPrecondition, failure + "; see above for details");
  }

 private:
  std::string text_;
  bool found_ = false;
};

void add_topology(CommandSet& set) {
  {
    auto ping = std::make_shared<bool>(false);
    auto& s = add_call<vd::ValidateRequest, vd::ValidateResponse>(
        set, "Validate", "looks for contradictions in all records",
        [ping](const ClientContext&, auto& q) -> Status {
          q.set_ping_tablets(*ping);
          return {};
        },
        [](const ClientContext& c, const auto& done) {
          Findings findings;
          findings.add(done.results());
          for (const auto& [keyspace, found] : std::map<std::string, vd::ValidateKeyspaceResponse>(
                   done.results_by_keyspace().begin(), done.results_by_keyspace().end())) {
            findings.add_keyspace(keyspace, found, true);
          }
          return findings.outcome(c, "Validation", "some issues were found during validation");
        });
    s.add("ping-tablets", ping.get(), "and asks the tablets").alias("p");
  }
  {
    auto ping = std::make_shared<bool>(false);
    auto& s = add_call<vd::ValidateKeyspaceRequest, vd::ValidateKeyspaceResponse>(
        set, "ValidateKeyspace", "looks for contradictions in a keyspace's records",
        [ping](const ClientContext& c, auto& q) -> Status {
          q.set_keyspace(c.arguments[0]);
          q.set_ping_tablets(*ping);
          return {};
        },
        [](const ClientContext& c, const auto& done) {
          Findings findings;
          findings.add_keyspace(c.arguments[0], done, false);
          return findings.outcome(c, "Validation of " + c.arguments[0],
                                  "keyspace " + c.arguments[0] + " had validation issues");
        });
    s.add("ping-tablets", ping.get(), "and asks the tablets").alias("p");
    s.arguments("<keyspace>", 1, 1);
  }
  auto ping = std::make_shared<bool>(false);
  auto& s = add_call<vd::ValidateShardRequest, vd::ValidateShardResponse>(
      set, "ValidateShard", "looks for contradictions in a shard's records",
      [ping](const ClientContext& c, auto& q) -> Status {
        q.set_ping_tablets(*ping);
        return fill_shard(c, q);
      },
      [](const ClientContext& c, const auto& done) {
        Findings findings;
        findings.add(done.results());
        return findings.outcome(c, "Validation of " + c.arguments[0],
                                "shard " + c.arguments[0] + " had validation issues");
      });
  s.add("ping-tablets", ping.get(), "and asks the tablets").alias("p");
  s.arguments("<keyspace/shard>", 1, 1);
}

struct SchemaFlags {
  std::vector<std::string> exclude, shards;
  bool views = false, skip_no_primary = false, vschema = false;
};

void add_schemas(CommandSet& set) {
  const auto fill_schema = [](const std::shared_ptr<SchemaFlags>& f, const ClientContext& c,
                              vd::ValidateSchemaKeyspaceRequest& q) {
    q.set_keyspace(c.arguments[0]);
    q.mutable_exclude_tables()->Add(f->exclude.begin(), f->exclude.end());
    q.mutable_shards()->Add(f->shards.begin(), f->shards.end());
    q.set_include_views(f->views);
    q.set_skip_no_primary(f->skip_no_primary);
    q.set_include_vschema(f->vschema);
  };
  const auto by_shard = [](const ClientContext& c, const auto& done) { return json_map(c, done.results_by_shard()); };
  const auto declare = [](base::Settings& s, SchemaFlags& f) {
    s.add("exclude-tables", &f.exclude, "not these: names or /patterns/");
    s.add("include-views", &f.views, "views too");
    s.add("skip-no-primary", &f.skip_no_primary, "a shard without primary is no fault");
    s.add("include-vschema", &f.vschema, "every table must be in the VSchema");
  };
  {
    auto f = std::make_shared<SchemaFlags>();
    auto& s = add_call<vd::ValidateSchemaKeyspaceRequest, vd::ValidateSchemaKeyspaceResponse>(
        set, "ValidateSchemaKeyspace", "compares the schema of all tablets of a keyspace",
        [f, fill_schema](const ClientContext& c, auto& q) -> Status {
          fill_schema(f, c, q);
          return {};
        },
        by_shard);
    declare(s, *f);
    s.add("shards", &f->shards, "only these");
    s.arguments("<keyspace>", 1, 1);
  }
  {
    auto f = std::make_shared<SchemaFlags>();
    auto& s = add_call<vd::ValidateSchemaKeyspaceRequest, vd::ValidateSchemaKeyspaceResponse>(
        set, "ValidateSchemaShard", "compares the schema of all tablets of a shard",
        [f, fill_schema](const ClientContext& c, auto& q) -> Status {
          ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(c.arguments[0]));
          fill_schema(f, c, q);
          q.set_keyspace(name.first);
          q.add_shards(name.second);
          return {};
        },
        by_shard, "ValidateSchemaKeyspace");
    declare(s, *f);
    s.arguments("<keyspace/shard>", 1, 1);
  }
  auto f = std::make_shared<SchemaFlags>();
  auto& s = add_call<vd::ValidateVSchemaRequest, vd::ValidateVSchemaResponse>(
      set, "ValidateVSchema", "looks for tables that the VSchema does not know",
      [f](const ClientContext& c, auto& q) -> Status {
        q.set_keyspace(c.arguments[0]);
        q.mutable_exclude_tables()->Add(f->exclude.begin(), f->exclude.end());
        q.mutable_shards()->Add(f->shards.begin(), f->shards.end());
        q.set_include_views(f->views);
        return {};
      },
      [](const ClientContext& c, const auto& done) {
        Findings findings;
        findings.add_keyspace(c.arguments[0], done, false);
        return findings.outcome(c, "Validation of " + c.arguments[0],
                                "keyspace " + c.arguments[0] + " had validation issues");
      });
  s.add("exclude-tables", &f->exclude, "not these: names or /patterns/");
  s.add("include-views", &f->views, "views too");
  s.add("shards", &f->shards, "only these");
  s.arguments("<keyspace>", 1, 1);
}

void add_versions_and_permissions(CommandSet& set) {
  add_call<vd::ValidateVersionKeyspaceRequest, vd::ValidateVersionKeyspaceResponse>(
      set, "ValidateVersionKeyspace", "compares the versions of all tablets of a keyspace",
      [](const ClientContext& c, auto& q) -> Status {
        q.set_keyspace(c.arguments[0]);
        return {};
      },
      print_json<vd::ValidateVersionKeyspaceResponse>)
      .arguments("<keyspace>", 1, 1);
  add_call<vd::ValidateVersionShardRequest, vd::ValidateVersionShardResponse>(
      set, "ValidateVersionShard", "compares the versions of all tablets of a shard",
      fill_shard<vd::ValidateVersionShardRequest>, print_json<vd::ValidateVersionShardResponse>)
      .arguments("<keyspace/shard>", 1, 1);
  {
    auto shards = std::make_shared<std::vector<std::string>>();
    auto& s = add_call<vd::ValidatePermissionsKeyspaceRequest, vd::ValidatePermissionsKeyspaceResponse>(
        set, "ValidatePermissionsKeyspace", "compares the accounts of all servers of a keyspace",
        [shards](const ClientContext& c, auto& q) -> Status {
          q.set_keyspace(c.arguments[0]);
          q.mutable_shards()->Add(shards->begin(), shards->end());
          return {};
        });
    s.add("shards", shards.get(), "only these");
    s.arguments("<keyspace>", 1, 1);
  }
  add_call<vd::ValidatePermissionsKeyspaceRequest, vd::ValidatePermissionsKeyspaceResponse>(
      set, "ValidatePermissionsShard", "compares the accounts of all servers of a shard",
      [](const ClientContext& c, auto& q) -> Status {
        ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(c.arguments[0]));
        q.set_keyspace(name.first);
        q.add_shards(name.second);
        return {};
      },
      {}, "ValidatePermissionsKeyspace")
      .arguments("<keyspace/shard>", 1, 1);
}

}  // namespace

void add_validate_commands(CommandSet& set) {
  add_topology(set);
  add_schemas(set);
  add_versions_and_permissions(set);
}

}  // namespace vitrail::control
