#include "worker/pages.h"

#include <fmt/core.h>

#include "base/text.h"
#include "worker/commands.h"

namespace vitrail::worker {
namespace {

using rpc::html_escape;
using rpc::HttpRequest;
using rpc::HttpResponse;

constexpr std::string_view kStyle =
    "body{font-family:sans-serif;margin:2em;max-width:70em;color:#222}h1{font-size:1.5em}"
    "pre{background:#f4f4f4;padding:.8em;overflow-x:auto}label{display:block;margin:.5em 0}"
    "small{color:#666;margin-left:.5em}form.inline{display:inline}button{font:inherit;padding:.3em .9em}";

std::string page(std::string_view title, std::string_view body, bool refreshes = false) {
  return fmt::format(
      "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>{1}<style>{2}</style></head>"
      "<body><h1>{0}</h1>{3}<p><a href=\"/\">Worker</a> | <a href=\"/status\">Status</a> | <a "
      "href=\"/debug/status\">Process</a></p></body></html>\n",
      html_escape(title), refreshes ? "<meta http-equiv=\"refresh\" content=\"2\">" : "", kStyle, body);
}

std::string button(std::string_view action, std::string_view text) {
  return fmt::format("<form class=\"inline\" method=\"post\" action=\"{}\"><button>{}</button></form>", action, text);
}

std::string index_page() {
  std::string body = "<ul>";
  std::string_view group;
  for (const Command& command : commands()) {
    if (command.group == group) continue;
    group = command.group;
    body += fmt::format("<li><a href=\"/{0}\">{0}</a></li>", group);
  }
  return page("Worker", body + "</ul>");
}

std::string group_page(std::string_view group) {
  std::string body = "<ul>";
  for (const Command& command : commands()) {
    if (command.group != group) continue;
    body += fmt::format("<li><a href=\"/{}/{}\">{}</a>: {}</li>", group, command.name, command.name,
                        html_escape(command.help));
  }
  return page(group, body + "</ul>");
}

std::string form_page(const Command& command, const std::string& error) {
  std::string body = fmt::format("<p>{}</p>", html_escape(command.help));
  if (!error.empty()) body += fmt::format("<pre class=\"error\">{}</pre>", html_escape(error));
  body += fmt::format("<form method=\"post\" action=\"/{}/{}\">", command.group, command.name);
  if (!command.usage.empty()) {
    const bool ping = command.name == "Ping";
    body += fmt::format("<label>{}: <input name=\"argument\" value=\"{}\"></label>", html_escape(command.usage),
                        ping ? "pong" : "");
  }
  for (const FlagInfo& flag : flags_of(command)) {
    if (flag.is_switch) {
      body += fmt::format(
          "<label>{0}: <select "
          "name=\"{0}\"><option{1}>true</option><option{2}>false</option></select><small>{3}</small>"
          "</label>",
          html_escape(flag.name), flag.value == "true" ? " selected" : "", flag.value == "true" ? "" : " selected",
          html_escape(flag.description));
    } else {
      body += fmt::format("<label>{0}: <input name=\"{0}\" value=\"{1}\"><small>{2}</small></label>",
                          html_escape(flag.name), html_escape(flag.value), html_escape(flag.description));
    }
  }
  return page(command.name, body + "<button>Submit</button></form>");
}

std::string status_page(const Instance::Snapshot& job) {
  if (!job.has_job) {
    return page("Worker status", "<p>This worker is idle.</p><p>State: not started</p>");
  }
  std::string body = fmt::format("<p>Job: <code>{}</code></p><pre id=\"status\">{}</pre>", html_escape(job.command),
                                 html_escape(job.status));
  body += job.running ? button("/cancel", "Cancel Job") : button("/reset", "Reset Job");
  body += fmt::format("<h2>Log</h2><pre id=\"log\">{}</pre>", html_escape(job.log));
  return page("Worker status", body, job.running);
}

// The command line that a form means: what was left at its default is left out.
std::vector<std::string> words_of(const Command& command, const std::map<std::string, std::string>& form) {
  std::vector<std::string> words = {std::string(command.name)};
  for (const FlagInfo& flag : flags_of(command)) {
    const auto given = form.find(flag.name);
    if (given == form.end() || given->second == flag.value) continue;
    words.push_back(fmt::format("--{}={}", flag.name, given->second));
  }
  if (const auto argument = form.find("argument"); argument != form.end() && !argument->second.empty()) {
    words.emplace_back("--");
    words.push_back(argument->second);
  }
  return words;
}

// Runs on the instance's loop; pages are served by other threads.
net::Task<Status> on_loop(Instance& instance, std::function<Status(Instance&)> what) { co_return what(instance); }

HttpResponse with_status(int status, std::string html) {
  HttpResponse response = HttpResponse::html(std::move(html));
  response.status = status;
  return response;
}

HttpResponse not_a_post() {
  HttpResponse response{.status = 405, .body = "use POST: this changes what the worker does\n"};
  response.headers["Allow"] = "POST";
  return response;
}

void add_command(rpc::HttpServer& http, net::Loop& loop, Instance& instance, const control::WebAccess& access,
                 const Command& command) {
  http.handle(fmt::format("/{}/{}", command.group, command.name), [&, access](const HttpRequest& request) {
    if (request.method != "POST") return HttpResponse::html(form_page(command, ""));
    if (auto refusal = access.refuse(request)) return std::move(*refusal);
    Status begun = net::block_on(loop, instance.begin(words_of(command, parse_form(request.body))));
    if (begun.ok()) return HttpResponse::redirect("/status");
    return with_status(begun.error().code() == Code::kInvalidArgument ? 400 : 409,
                       form_page(command, begun.error().message()));
  });
}

}  // namespace

std::map<std::string, std::string> parse_form(std::string_view body) {
  const auto decode = [](std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto digit = [&](size_t at) {
        const char c = at < text.size() ? text[at] : 'x';
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
      };
      if (text[i] == '%' && digit(i + 1) >= 0 && digit(i + 2) >= 0) {
        out += static_cast<char>(digit(i + 1) * 16 + digit(i + 2));
        i += 2;
      } else {
        out += text[i] == '+' ? ' ' : text[i];
      }
    }
    return out;
  };
  std::map<std::string, std::string> form;
  for (const std::string_view pair : base::split(body, '&')) {
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    form[decode(pair.substr(0, equals))] = decode(pair.substr(std::min(equals + 1, pair.size())));
  }
  return form;
}

void add_pages(rpc::HttpServer& http, net::Loop& loop, Instance& instance, const control::WebAccess& access) {
  http.handle("/", [](const HttpRequest& request) {
    if (request.path == "/") return HttpResponse::html(index_page());
    return HttpResponse::error(fail(Code::kNotFound, "there is no page " + request.path));
  });
  std::string_view group;
  for (const Command& command : commands()) {
    if (command.group != group) {
      group = command.group;
      http.handle("/" + std::string(group),
                  [name = command.group](const HttpRequest&) { return HttpResponse::html(group_page(name)); });
    }
    add_command(http, loop, instance, access, command);
  }
  http.handle("/status",
              [&instance](const HttpRequest&) { return HttpResponse::html(status_page(instance.snapshot())); });
  const auto act = [&](std::string path, std::function<Status(Instance&)> what) {
    http.handle(std::move(path), [&loop, &instance, access, what = std::move(what)](const HttpRequest& request) {
      if (request.method != "POST") return not_a_post();
      if (auto refusal = access.refuse(request)) return std::move(*refusal);
      Status done = net::block_on(loop, on_loop(instance, what));
      return done.ok() ? HttpResponse::redirect("/status") : HttpResponse::error(done.error());
    });
  };
  act("/reset", [](Instance& worker) { return worker.reset(); });
  act("/cancel", [](Instance& worker) {
    worker.cancel();
    return Status{};
  });
  http.add_status_part("Job", [&instance] {
    const Instance::Snapshot job = instance.snapshot();
    if (!job.has_job) return std::string("<p>idle</p>");
    return fmt::format("<p>{}</p><pre>{}</pre>", html_escape(job.command), html_escape(job.status));
  });
}

}  // namespace vitrail::worker
