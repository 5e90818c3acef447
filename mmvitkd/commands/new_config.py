"""Begin a config with one of this package's; without arguments, list these.

    python -m mmvitkd new-config vitkd_own-data my_config.py

The new file inherits from it by its name, mmvitkd::..., and has the lines to change.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('template', nargs='?', help='name of a config of this package')
    parser.add_argument(
        'file', nargs='?', help='where to write the new one, such as my_config.py'
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse a template without a file."""
    if args.template is not None and args.file is None:
        parser.error('give the file to write, too, such as my_config.py')


def run(args: argparse.Namespace) -> None:
    """List the templates, or write a config."""
    from mmvitkd.utils.templates import describe_templates, write_config

    if args.template is None:
        print('\n'.join(describe_templates()))
        return
    write_config(args.template, args.file)
    print(f'{args.file}: change its lines, then: python -m mmvitkd train {args.file}')
