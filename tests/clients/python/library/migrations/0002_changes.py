from django.db import migrations, models


def fill(apps, _):
    apps.get_model("library", "Tag").objects.create(name="first")


def remove(apps, _):
    apps.get_model("library", "Tag").objects.filter(name="first").delete()


class Migration(migrations.Migration):
    dependencies = [("library", "0001_initial")]
    operations = [
        migrations.RenameField("Tag", "label", "name"),
        migrations.AlterField("Author", "name", models.CharField(max_length=60, db_index=True)),
        migrations.AddField("Book", "notes", models.TextField(default="", blank=True)),
        migrations.AddIndex("Book", models.Index(fields=["title", "sold"], name="book_by_title")),
        migrations.RunPython(fill, remove)]
