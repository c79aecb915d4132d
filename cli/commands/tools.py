"""`vitte doctor`, `explain CODE` and `completion SHELL`."""

from __future__ import annotations

import click

from cli import homes
from cli.commands.base import Command
from cli.i18n import t
from cli.settings import Settings
from cli.shell import out
from cli.text import print_json, printable


@click.command(
    cls=Command,
    help=t("Check this machine and its node.\n\nSays what to do about what is wrong."),
)
@click.pass_obj
def doctor(settings: Settings) -> int:
    from cli.doctor import examine

    checks = examine(homes.home_to_ask(settings))
    if settings.json:
        print_json({"schema": "vitte.doctor/1", "checks": checks})
    else:
        words = {"ok": t("ok"), "warn": t("warn"), "fail": t("FAIL")}
        name_width = max(len(check["name"]) for check in checks)
        for check in checks:
            word = words.get(check["status"], check["status"])
            out(f"{word:<5} {check['name']:<{name_width}}  {printable(check['text'])}")
            if check["next_step"]:
                out(f"      {'':<{name_width}}  {t('next:')} {printable(check['next_step'])}")
    return 1 if any(check["status"] == "fail" for check in checks) else 0


@click.command(
    cls=Command,
    help=t("Explain an error of vitte-mesh, like VM204. Other codes go to the next `vitte`."),
)
@click.argument("code")
@click.pass_obj
def explain(settings: Settings, code: str) -> int:
    from mesh.errors import catalogue

    for cls in catalogue():
        if cls.code == code.upper():
            break
    else:
        raise click.UsageError(t("there is no error {code}", code=code))
    blame = {
        "user": t("the command or a project file"),
        "peer": t("another node"),
        "environment": t("this machine"),
        "us": t("vitte-mesh itself"),
    }
    if settings.json:
        fields = ("code", "exit_code", "hint", "blame")
        view = {name: getattr(cls, name) for name in fields}
        print_json({"schema": "vitte.error_class/1", "message": cls.template(), **view})
        return 0
    out(f"{cls.code}: {t(cls.template())}")
    if cls.hint:
        out(f"  {t('hint:')} {t(cls.hint)}")
    out("  " + t("exit status: {code}", code=cls.exit_code))
    out("  " + t("who is to blame: {who}", who=blame[cls.blame]))
    return 0


@click.command(
    cls=Command,
    help=t(
        "Print the completion script of a shell.\n\n"
        "\b\n"
        '  bash:  eval "$(vitte completion bash)"\n'
        '  zsh:   eval "$(vitte completion zsh)"\n'
        "  fish:  vitte completion fish | source"
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    from click.shell_completion import get_completion_class

    from cli.app import COMPLETE_VARIABLE, PROGRAM, root

    found = get_completion_class(shell)
    assert found is not None
    out(found(root, {}, PROGRAM, COMPLETE_VARIABLE).source())
    return 0
