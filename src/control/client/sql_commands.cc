// Commands that run statements or hooks on one tablet.
#include "control/client/call.h"
#include "control/client/tablet_text.h"
#include "tabletmanagerdata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

struct Flags {
  int64_t max_rows = 10'000;
  bool disable_binlogs = false, reload = false, json = false, pool = false;
};

void declare(base::Settings& s, const std::shared_ptr<Flags>& f) {
  s.add("max-rows", &f->max_rows, "rows to return at most");
  s.add("json", &f->json, "print JSON").alias("j");
  s.arguments("<tablet alias> <statement>", 2, 2);
}

void declare_dba(base::Settings& s, const std::shared_ptr<Flags>& f) {
  declare(s, f);
  s.add("disable-binlogs", &f->disable_binlogs, "without binary log");
  s.add("reload-schema", &f->reload, "the tablet reads its schema again afterwards");
}

void add_fetches(CommandSet& set) {
  {
    auto f = std::make_shared<Flags>();
    declare_dba(add_call<vd::ExecuteFetchAsDBARequest, vd::ExecuteFetchAsDBAResponse>(
                    set, "ExecuteFetchAsDBA", "runs a statement as administrator of a tablet's server",
                    [f](const ClientContext& c, auto& q) -> Status {
                      RETURN_IF_ERROR(fill_alias(c, q));
                      q.set_query(c.arguments[1]);
                      q.set_max_rows(f->max_rows);
                      q.set_disable_binlogs(f->disable_binlogs);
                      q.set_reload_schema(f->reload);
                      return {};
                    },
                    [f](const ClientContext&, const auto& done) {
                      return f->json ? result_json(done.result()) : Result<std::string>(ascii_table(done.result()));
                    },
                    "", {"ExecuteFetchAsDba"}),
                f);
  }
  {
    auto f = std::make_shared<Flags>();
    auto& s = add_call<vd::ExecuteFetchAsAppRequest, vd::ExecuteFetchAsAppResponse>(
        set, "ExecuteFetchAsApp", "runs a statement on a tablet's server as applications do",
        [f](const ClientContext& c, auto& q) -> Status {
          RETURN_IF_ERROR(fill_alias(c, q));
          q.set_query(c.arguments[1]);
          q.set_max_rows(f->max_rows);
          q.set_use_pool(f->pool);
          return {};
        },
        [f](const ClientContext&, const auto& done) {
          return f->json ? result_json(done.result()) : Result<std::string>(ascii_table(done.result()));
        });
    declare(s, f);
    s.add("use-pool", &f->pool, "accepted; connections are always pooled");
  }
  auto f = std::make_shared<Flags>();
  declare_dba(add_call<vd::ExecuteMultiFetchAsDBARequest, vd::ExecuteMultiFetchAsDBAResponse>(
                  set, "ExecuteMultiFetchAsDBA", "runs several statements as administrator, up to the first error",
                  [f](const ClientContext& c, auto& q) -> Status {
                    RETURN_IF_ERROR(fill_alias(c, q));
                    q.set_sql(c.arguments[1]);
                    q.set_max_rows(f->max_rows);
                    q.set_disable_binlogs(f->disable_binlogs);
                    q.set_reload_schema(f->reload);
                    return {};
                  },
                  [f](const ClientContext&, const auto& done) -> Result<std::string> {
                    std::vector<std::string> texts;
                    std::string out;
                    for (const auto& result : done.results()) {
                      out += ascii_table(result);
                      if (!f->json) continue;
                      ASSIGN_OR_RETURN(std::string text, result_json(result));
                      texts.push_back(std::move(text));
                    }
                    return f->json ? json_array(texts) : out;
                  },
                  "", {"ExecuteMultiFetchAsDba"}),
              f);
}

void add_hooks(CommandSet& set) {
  auto environment = std::make_shared<std::vector<std::string>>();
  auto& s = add_call<vd::ExecuteHookRequest, vd::ExecuteHookResponse>(
      set, "ExecuteHook", "runs a program of $VTROOT/vthook on a tablet's machine",
      [environment](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_alias(c, q));
        auto& hook = *q.mutable_tablet_hook_request();
        hook.set_name(c.arguments[1]);
        for (size_t i = 2; i < c.arguments.size(); ++i) hook.add_parameters(c.arguments[i]);
        for (const auto& item : *environment) {
          const size_t equals = item.find('=');
          if (equals == std::string::npos || equals == 0) {
            return fail(Code::kInvalidArgument, "--env: '" + item + "' is not of the form NAME=value");
          }
          (*hook.mutable_extra_env())[item.substr(0, equals)] = item.substr(equals + 1);
        }
        return {};
      },
      [](const ClientContext& c, const auto& done) { return c.json(done); });
  s.add("env", environment.get(), "further environment, as NAME=value");
  s.arguments("<tablet alias> <hook> [<parameter> ...]", 2, 100);
}

}  // namespace

void add_sql_commands(CommandSet& set) {
  add_fetches(set);
  add_hooks(set);
}

}  // namespace vitrail::control
