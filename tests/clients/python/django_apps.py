"""Django: django_apps.py PORT DATABASE. Migrations of its contrib applications and of one of our own, then models, admin log, sessions."""

import json
import os
import sys

import django
from django.conf import settings
from django.core.management import call_command

APPLICATIONS = ["contenttypes", "auth", "sessions", "admin", "messages", "sites"]


def say(step, value):
    print(json.dumps([step, value], default=str), flush=True)


def configure(port, database):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    # Rows that refer to each other lie on different shards: servers cannot check that.
    first = {"init_command": "set foreign_key_checks = 0"} if os.environ.get("VITRAIL_SIDE") == "sharded" else {}
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.mysql", "HOST": "127.0.0.1", "PORT": int(port), "USER": "demo",
                               "NAME": database, "OPTIONS": {"charset": "utf8mb4", **first}}},
        INSTALLED_APPS=[*[f"django.contrib.{name}" for name in APPLICATIONS], "library"], SITE_ID=1, USE_TZ=True, TIME_ZONE="UTC", SECRET_KEY="x",
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
                    "django.contrib.messages.middleware.MessageMiddleware"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
            "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages"]}}],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
    django.setup()


def users():
    from django.contrib.auth import authenticate
    from django.contrib.auth.models import Group, Permission, User
    from django.contrib.contenttypes.models import ContentType
    from django.contrib.sessions.backends.db import SessionStore
    say("permissions", Permission.objects.count())
    say("content types", sorted(ContentType.objects.values_list("app_label", "model")))
    ann = User.objects.create_superuser("ann", "ann@example.org", "secret")
    bob, made = User.objects.get_or_create(username="bob")
    say("made", [made, User.objects.get_or_create(username="bob")[1]])
    group = Group.objects.create(name="readers")
    group.permissions.set(Permission.objects.filter(content_type__app_label="library"))
    bob.groups.add(group)
    say("group permissions", sorted(bob.get_group_permissions()))
    say("has", [User.objects.get(pk=bob.pk).has_perm("library.add_book"), User.objects.get(pk=bob.pk).has_perm("auth.add_user")])
    say("authenticated", [authenticate(username="ann", password="secret") == ann, authenticate(username="ann", password="no")])
    say("with permission", [user.username for user in User.objects.with_perm("library.add_book", backend="django.contrib.auth.backends.ModelBackend")
                            .order_by("username")])
    store = SessionStore()
    store["a"] = [1, "\u00e9"]
    store.save()
    say("session", SessionStore(store.session_key)["a"])
    store.delete()
    say("no session", SessionStore(store.session_key).load())
    return ann


def books():
    from django.db import IntegrityError, connection, transaction
    from django.db.models import Avg, Count, Exists, F, Max, OuterRef, Prefetch, Q, Subquery, Sum, Window
    from django.db.models.functions import Rank
    from library.models import Author, Book, Tag
    ann, bob = Author.objects.create(name="Ann", born="1970-01-02"), Author.objects.create(name="B\u00f6b")
    red, blue = (Tag.objects.create(name=name) for name in ("red", "blue"))
    one = Book.objects.create(author=ann, title="One", price="9.99", facts={"pages": 10, "in": [1, {"a": None}]}, made="2024-02-29T10:00:00Z")
    Book.objects.bulk_create([Book(author=ann, title="Two"), Book(author=bob, title="Three", price="1.01", sold=True)])
    one.tags.add(red, blue)
    say("read", list(Book.objects.order_by("title").values_list("title", "price", "sold", "made")))
    say("json", [Book.objects.get(title="One").facts, Book.objects.filter(facts__pages=10).count()])
    say("join", list(Book.objects.filter(author__name="Ann").order_by("-title").values_list("title", "author__born")))
    say("related", [book.author.name for book in Book.objects.select_related("author").order_by("title")])
    say("prefetched", [[author.name, sorted(book.title for book in author.books.all())] for author in
                       Author.objects.prefetch_related(Prefetch("books", Book.objects.all())).order_by("name")])
    say("counted", list(Author.objects.annotate(n=Count("books"), most=Max("books__price")).order_by("name").values_list("name", "n", "most")))
    say("aggregate", Book.objects.aggregate(Sum("price"), Avg("price"), n=Count("author", distinct=True)))
    say("exists", list(Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("pk"), sold=True))).values_list("name", flat=True)))
    say("subquery", list(Author.objects.order_by("name").annotate(first=Subquery(
        Book.objects.filter(author=OuterRef("pk")).order_by("title").values("title")[:1])).values_list("name", "first")))
    say("window", list(Book.objects.annotate(place=Window(Rank(), order_by=F("title").asc())).order_by("title").values_list("title", "place")))
    say("union", sorted(Author.objects.values_list("name").union(Tag.objects.values_list("name"))))
    say("many to many", sorted(Book.objects.filter(Q(tags__name="red") | Q(tags__name="blue")).distinct().values_list("title", flat=True)))
    say("dates", [str(day) for day in Book.objects.filter(made__isnull=False).datetimes("made", "month")])
    say("found", [Book.objects.filter(title__icontains="t").count(), Book.objects.filter(title__regex="^T").count(), Book.objects.filter(made__year=2024).count()])
    say("changed", [Book.objects.filter(price__lt=5).update(price=F("price") + 1), Book.objects.get(title="Three").price])
    say("in bulk", len(Book.objects.in_bulk([one.pk])))
    say("updated", Book.objects.update_or_create(title="Two", defaults={"price": 4})[1])
    try:
        with transaction.atomic():
            Tag.objects.create(name="outer")
            with transaction.atomic():
                Tag.objects.create(name="inner")
            try:
                with transaction.atomic():
                    Tag.objects.create(name="undone")
                    raise KeyError
            except KeyError:
                pass
            Book.objects.select_for_update().get(pk=one.pk)
    except KeyError:
        pass
    say("nested", sorted(Tag.objects.values_list("name", flat=True)))
    try:
        Tag.objects.create(pk=red.pk, name="again")
    except IntegrityError as error:
        say("duplicate", error.args[0])
    say("iterated", sorted(book.title for book in Book.objects.iterator(chunk_size=2)))
    say("deleted", [sorted(count.items()) for count in [ann.delete()[1]]])
    say("left", [Book.objects.count(), Tag.objects.count()])
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from library_tag where name <> %s", ["red"])
        say("raw", cursor.fetchone())
        say("constraints", sorted(connection.introspection.get_constraints(cursor, "library_book")))
        say("introspected", sorted(table.name for table in connection.introspection.get_table_list(cursor)))


def pages(ann):
    """The admin's own pages, which ask in their own ways."""
    from django.test import Client
    client = Client()
    client.force_login(ann)
    for path in ("/admin/", "/admin/library/tag/", "/admin/library/book/?q=Th", "/admin/library/tag/add/", "/admin/auth/user/"):
        say(path, client.get(path, headers={"host": "localhost"}).status_code)
    say("posted", client.post("/admin/library/tag/add/", {"name": "admin"}, headers={"host": "localhost"}).status_code)
    from django.contrib.admin.models import LogEntry
    say("logged", list(LogEntry.objects.values_list("object_repr", "user__username")))


def main(port, database):
    configure(port, database)
    settings.ROOT_URLCONF = "library.urls"
    from django.db import connection
    from django.db.migrations.recorder import MigrationRecorder
    call_command("migrate", verbosity=0)
    say("migrated", sorted(MigrationRecorder.Migration.objects.values_list("app", "name")))
    ann = users()
    books()
    pages(ann)
    call_command("migrate", "library", "0001", verbosity=0)
    call_command("migrate", "library", verbosity=0)
    say("flushed", call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True))
    connection.close()  # Flush has switched foreign keys on.
    call_command("migrate", "library", "zero", verbosity=0)
    say("tables", sorted(connection.introspection.table_names()))


if __name__ == "__main__":
    main(*sys.argv[1:])
