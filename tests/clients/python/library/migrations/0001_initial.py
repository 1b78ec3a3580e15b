from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Author", [("id", models.BigAutoField(primary_key=True, serialize=False)), ("name", models.CharField(max_length=40)),
                                          ("born", models.DateField(null=True))]),
        migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True, serialize=False)), ("label", models.CharField(max_length=30))]),
        migrations.CreateModel("Book", [
            ("id", models.BigAutoField(primary_key=True, serialize=False)),
            ("author", models.ForeignKey("library.Author", models.CASCADE, related_name="books")), ("title", models.CharField(max_length=100)),
            ("price", models.DecimalField(max_digits=10, decimal_places=2, null=True)), ("facts", models.JSONField(null=True)),
            ("sold", models.BooleanField(default=False)), ("made", models.DateTimeField(null=True)), ("tags", models.ManyToManyField("library.Tag"))])]
