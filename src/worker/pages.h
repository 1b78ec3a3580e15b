#pragma once

#include "control/web_access.h"
#include "net/loop.h"
#include "rpc/http.h"
#include "worker/instance.h"

namespace vitrail::worker {

// The worker's pages: "/" lists the groups of commands, "/Clones" a group, "/Clones/SplitClone" has the command's form,
// "/status" what the job does, with "Cancel Job" or "Reset Job"; "/cancel" and "/reset" do it. Before `http` starts;
// `instance` and `loop`, on which it lives, must outlive it. `access`: who may send commands.
void add_pages(rpc::HttpServer& http, net::Loop& loop, Instance& instance, const control::WebAccess& access);

// Fields of an HTML form ("a=b&c=d+e"); the last of repeated ones.
std::map<std::string, std::string> parse_form(std::string_view body);

}  // namespace vitrail::worker
